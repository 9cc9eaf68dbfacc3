import path from 'node:path'
import { startApiServer } from '../apiserver/start-api-server.ts'
import { type ClusterState, ROOT, say } from './state.ts'

/** The cluster of KUBECONFIG, which is left as it is. Its nodes have to be able to pull the images. */
export async function useGiven(image: string): Promise<ClusterState> {
  const { KUBECONFIG = '', HUBLET_PREVIOUS_IMAGE, HUBLET_REDIS_IMAGE } = process.env
  // Refuses a cluster elsewhere that nobody named.
  const { source } = await startApiServer({ root: ROOT })
  say(`using ${source}; its nodes have to know ${image} (HUBLET_IMAGE names another)`)
  return {
    kind: 'given',
    kubeConfig: path.resolve(KUBECONFIG),
    image,
    ...(HUBLET_PREVIOUS_IMAGE ? { previousImage: HUBLET_PREVIOUS_IMAGE } : {}),
    ...(HUBLET_REDIS_IMAGE ? { redisImage: HUBLET_REDIS_IMAGE } : {}),
  }
}
