/**
 * Where the API server is and how to be let in. client-node's KubeConfig fits, and reads everything that kubectl
 * reads; loading it costs some 90 MiB, so inside a cluster, where three files say it all, it is left out.
 */
import { readFile } from 'node:fs/promises'
import type { RequestOptions } from 'node:https'
import path from 'node:path'
import type { Clock } from '../../contract/clock.ts'

/** The part of client-node's KubeConfig that an API client uses. */
export interface ClusterAccess {
  getCurrentCluster(): { readonly server: string; readonly proxyUrl?: string } | null
  /** Adds trust and credentials, the current ones each time. */
  applyToHTTPSOptions(options: RequestOptions): Promise<void>
}

export interface LoadedAccess {
  access: ClusterAccess
  /** The namespace to work in when none is given: the pod's, or the kubeconfig context's. */
  namespace: string
}

export interface LoadAccessOptions {
  environment: Readonly<Record<string, string | undefined>>
  clock: Clock
  /** Where a pod finds its service account. */
  serviceAccountFolder?: string
}

const SERVICE_ACCOUNT = '/var/run/secrets/kubernetes.io/serviceaccount'
/** Tokens are renewed in their file long before they end; client-go reads them again as often. */
const REREAD_MS = 60_000

/** A kubeconfig when `KUBECONFIG` names one; else the pod's service account; else what kubectl would use. */
export async function loadClusterAccess(options: LoadAccessOptions): Promise<LoadedAccess> {
  const { environment } = options
  const folder = options.serviceAccountFolder ?? SERVICE_ACCOUNT
  const host = environment['KUBERNETES_SERVICE_HOST']
  if (host && !environment['KUBECONFIG']) {
    const port = environment['KUBERNETES_SERVICE_PORT'] ?? '443'
    const server = `https://${host.includes(':') ? `[${host}]` : host}:${port}`
    const namespace = (await readFile(path.join(folder, 'namespace'), 'utf8')).trim()
    return { access: new ServiceAccountAccess(server, folder, options.clock), namespace }
  }
  const { KubeConfig } = await import('@kubernetes/client-node')
  const kubeConfig = new KubeConfig()
  kubeConfig.loadFromDefault()
  const context = kubeConfig.getContextObject(kubeConfig.getCurrentContext())
  return { access: kubeConfig, namespace: context?.namespace ?? 'default' }
}

class ServiceAccountAccess implements ClusterAccess {
  readonly #cluster: { readonly server: string }
  readonly #folder: string
  readonly #clock: Clock
  #read: { at: number; files: Promise<{ token: string; ca: Buffer }> } | undefined

  constructor(server: string, folder: string, clock: Clock) {
    this.#cluster = { server }
    this.#folder = folder
    this.#clock = clock
  }

  getCurrentCluster(): { readonly server: string } {
    return this.#cluster
  }

  async applyToHTTPSOptions(options: RequestOptions): Promise<void> {
    const { token, ca } = await this.#files()
    options.ca = ca
    options.headers = { ...options.headers, Authorization: `Bearer ${token}` }
  }

  #files(): Promise<{ token: string; ca: Buffer }> {
    const now = this.#clock.monotonic()
    if (!this.#read || now - this.#read.at > REREAD_MS) {
      const files = this.#readFiles()
      this.#read = { at: now, files }
      // A failed look is not kept: the next request looks again.
      files.catch(() => {
        this.#read = undefined
      })
    }
    return this.#read.files
  }

  async #readFiles(): Promise<{ token: string; ca: Buffer }> {
    const [token, ca] = await Promise.all([
      readFile(path.join(this.#folder, 'token'), 'utf8'),
      readFile(path.join(this.#folder, 'ca.crt')),
    ])
    return { token: token.trim(), ca }
  }
}
