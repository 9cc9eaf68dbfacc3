/** The cluster that commands of people talk to: the one of their kubeconfig. */

import { DEFAULT_NAMESPACE } from '../../operator/compile/hub-record.ts'
import { type ApiClient, createApiClient } from '../../operator/runtime/api-client.ts'
import { ApiError, TransportError } from '../../operator/runtime/api-error.ts'

export interface ClusterFlags {
  /** The one of the context when left out. */
  namespace?: string
  context?: string
}

export interface Connection {
  client: ApiClient
  namespace: string
}

/** Something about kubeconfig or cluster that the user has to put right. The message says what. */
export class ClusterError extends Error {
  override readonly name = 'ClusterError'
}

/** As kubectl finds it: KUBECONFIG, else the file in the home folder. Opens no connection yet. */
export async function connect({ namespace, context }: ClusterFlags): Promise<Connection> {
  // Loaded when needed only: it is large.
  const { KubeConfig } = await import('@kubernetes/client-node')
  const kubeConfig = new KubeConfig()
  try {
    kubeConfig.loadFromDefault()
  } catch (error) {
    throw new ClusterError(`kubeconfig: ${(error as Error).message}`, { cause: error })
  }
  if (context !== undefined) {
    const known = kubeConfig.getContexts().map(({ name }) => name)
    if (!known.includes(context))
      throw new ClusterError(`--context: expected one of ${known.join(', ')}, got ${context}`)
    kubeConfig.setCurrentContext(context)
  }
  const current = kubeConfig.getContextObject(kubeConfig.getCurrentContext())
  const client = createApiClient({ kubeConfig, userAgent: 'hublet-cli' })
  return { client, namespace: namespace ?? current?.namespace ?? DEFAULT_NAMESPACE }
}

/** What went wrong, where that is for the user to know; other errors are faults, and thrown on. */
export function problemText(error: unknown): string {
  if (error instanceof ApiError) return `the cluster refuses: ${error.message}`
  if (error instanceof TransportError) return `the cluster cannot be reached: ${error.message}`
  if (error instanceof ClusterError) return error.message
  throw error
}
