import type { IncomingMessage, RequestOptions, ServerResponse } from 'node:http'
import { createServer } from 'node:http'
import { Agent, request as httpsRequest } from 'node:https'
import type { AddressInfo } from 'node:net'
import { KubeConfig } from '@kubernetes/client-node'

export interface SeenRequest {
  method: string
  url: URL
  watch: boolean
  /** ms, from performance.now(). */
  at: number
}

/** What happens to one request instead of being passed on; undefined: nothing. */
export type Fault =
  | { kind: 'answer'; status: number; headers?: Record<string, string>; body?: string }
  /** The connection is closed without an answer. */
  | { kind: 'cut' }
  /** No byte of the answer arrives until `resume`. */
  | { kind: 'stall' }
  /** Passed on with other query parameters. */
  | { kind: 'rewrite'; query: Record<string, string> }
  /** The answer is cut after so many bytes. */
  | { kind: 'truncate'; bytes: number }

export type FaultRule = (request: SeenRequest) => Fault | undefined

/**
 * Stands between a client and a real API server and does to their traffic what networks, load balancers and busy
 * API servers do. Speaks plain HTTP to the client and adds the credentials itself.
 */
export class FaultProxy {
  readonly seen: SeenRequest[] = []
  rule: FaultRule = () => undefined
  readonly #target: KubeConfig
  readonly #server = createServer((request, response) => void this.#handle(request, response))
  readonly #agent = new Agent({ keepAlive: true })
  readonly #watches = new Set<ServerResponse>()
  readonly #stalled = new Set<ServerResponse>()
  #silent = false
  #resume: Array<() => void> = []

  constructor(target: KubeConfig) {
    this.#target = target
  }

  async start(): Promise<KubeConfig> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve))
    const { port } = this.#server.address() as AddressInfo
    const kubeConfig = new KubeConfig()
    kubeConfig.loadFromOptions({
      clusters: [{ name: 'proxy', server: `http://127.0.0.1:${port}`, skipTLSVerify: true }],
      users: [{ name: 'nobody' }],
      contexts: [{ name: 'proxy', cluster: 'proxy', user: 'nobody' }],
      currentContext: 'proxy',
    })
    return kubeConfig
  }

  async stop(): Promise<void> {
    this.resume()
    this.#server.closeAllConnections()
    await new Promise((resolve) => this.#server.close(resolve))
    this.#agent.destroy()
  }

  get liveWatches(): number {
    return this.#watches.size
  }

  /** Closes every watch in the middle, as a load balancer that restarts does. */
  cutWatches(): void {
    for (const response of this.#watches) response.destroy()
  }

  /** From now on no byte of any answer reaches the client, and no connection is closed: a dead network path. */
  silence(): void {
    this.#silent = true
  }

  resume(): void {
    this.#silent = false
    this.#stalled.clear()
    for (const wake of this.#resume.splice(0)) wake()
  }

  async #handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = new URL(request.url ?? '/', 'http://proxy')
    const watch = url.searchParams.has('watch')
    const seen = { method: request.method ?? 'GET', url, watch, at: performance.now() }
    this.seen.push(seen)
    const fault = this.rule(seen)
    if (fault?.kind === 'answer') {
      response.writeHead(fault.status, fault.headers).end(fault.body ?? '')
      return
    }
    if (fault?.kind === 'cut') {
      request.socket.destroy()
      return
    }
    if (fault?.kind === 'stall') this.#stalled.add(response)
    if (fault?.kind === 'rewrite') {
      for (const [name, value] of Object.entries(fault.query)) url.searchParams.set(name, value)
    }
    if (watch) this.#watches.add(response)
    response.on('close', () => this.#watches.delete(response))
    await this.#passOn(request, response, url, fault?.kind === 'truncate' ? fault.bytes : Infinity)
  }

  async #passOn(request: IncomingMessage, response: ServerResponse, url: URL, bytes: number): Promise<void> {
    const options: RequestOptions = {}
    await this.#target.applyToHTTPSOptions(options)
    const { host, connection, ...headers } = request.headers
    const target = `${this.#target.getCurrentCluster()!.server}${url.pathname}${url.search}`
    const upstream = httpsRequest(target, {
      ...options,
      agent: this.#agent,
      method: request.method,
      headers: { ...headers, ...options.headers },
    })
    upstream.on('error', () => response.destroy())
    response.on('close', () => upstream.destroy())
    upstream.on('response', (answer) => void this.#relay(answer, response, bytes))
    request.pipe(upstream)
  }

  async #relay(answer: IncomingMessage, response: ServerResponse, bytes: number): Promise<void> {
    let left = bytes
    try {
      await this.#untilHeard(response)
      response.writeHead(answer.statusCode ?? 502, answer.headers)
      response.flushHeaders()
      for await (const chunk of answer as AsyncIterable<Buffer>) {
        await this.#untilHeard(response)
        response.write(chunk.subarray(0, left))
        left -= chunk.length
        if (left <= 0) break
      }
      if (left > 0) response.end()
      else setImmediate(() => response.destroy())
    } catch {
      response.destroy()
    }
  }

  async #untilHeard(response: ServerResponse): Promise<void> {
    while (this.#silent || this.#stalled.has(response)) {
      await new Promise<void>((resolve) => this.#resume.push(resolve))
    }
  }
}
