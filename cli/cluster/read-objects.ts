import type { Device } from '../../crds/device.ts'
import type { Hub } from '../../crds/hub.ts'
import type { Network } from '../../crds/network.ts'
import { DEVICES, HUBS, NETWORKS } from '../../operator/api/resources.ts'
import { type KubeObject, type Resource, resourcePath } from '../../operator/runtime/resource.ts'
import { type ClusterFlags, type Connection, connect, problemText } from './connection.ts'

async function list<T extends KubeObject>(
  { client, namespace }: Connection,
  resource: Resource,
): Promise<T[]> {
  const { body } = await client.request<{ items: T[] }>({
    method: 'GET',
    path: resourcePath(resource, namespace),
  })
  // Items of a list say neither.
  const { apiVersion, kind } = resource
  return body.items.map((item) => ({ ...item, apiVersion, kind }))
}

export const readDevices = (cluster: Connection): Promise<Device[]> => list<Device>(cluster, DEVICES)
export const readHubs = (cluster: Connection): Promise<Hub[]> => list<Hub>(cluster, HUBS)
export const readNetworks = (cluster: Connection): Promise<Network[]> => list<Network>(cluster, NETWORKS)

/** Runs with a cluster; what it or the way to it refuses is told, and ends with 1. */
export async function withCluster(
  flags: ClusterFlags,
  { stderr }: { stderr: NodeJS.WritableStream },
  run: (cluster: Connection) => Promise<number>,
): Promise<number> {
  let cluster: Connection | undefined
  try {
    cluster = await connect(flags)
    return await run(cluster)
  } catch (error) {
    stderr.write(`${problemText(error)}\n`)
    return 1
  } finally {
    cluster?.client.close()
  }
}
