import { type AddressInfo, connect, createServer, type Socket } from 'node:net'

/** Stands between a client and a server and does to their connection what networks do. */
export class TcpProxy {
  readonly #targetPort: number
  readonly #server = createServer((socket) => this.#accept(socket))
  readonly #pairs = new Set<readonly [Socket, Socket]>()
  #silent = false
  #refusing = false
  /** Connections taken since the start. */
  accepted = 0

  constructor(targetPort: number) {
    this.#targetPort = targetPort
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port
  }

  get open(): number {
    return this.#pairs.size
  }

  async start(): Promise<this> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve))
    return this
  }

  /** Resets every connection. */
  cut(): void {
    for (const pair of this.#pairs) for (const socket of pair) socket.resetAndDestroy()
  }

  /** Cuts, and resets every new connection until `heal`. */
  refuse(): void {
    this.#refusing = true
    this.cut()
  }

  /** No byte passes either way, and nothing is closed, until `heal`: a dead network path. */
  silence(): void {
    this.#silent = true
    for (const pair of this.#pairs) for (const socket of pair) socket.pause()
  }

  /** The same for one connection, counted from the oldest open one; new ones work. */
  silenceOne(index: number): void {
    for (const socket of [...this.#pairs][index] ?? []) socket.pause()
  }

  heal(): void {
    this.#silent = false
    this.#refusing = false
    for (const pair of this.#pairs) for (const socket of pair) socket.resume()
  }

  async stop(): Promise<void> {
    this.cut()
    await new Promise((resolve) => this.#server.close(resolve))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop()
  }

  #accept(client: Socket): void {
    this.accepted += 1
    if (this.#refusing) {
      client.resetAndDestroy()
      return
    }
    const server = connect(this.#targetPort, '127.0.0.1')
    const pair = [client, server] as const
    this.#pairs.add(pair)
    relay(client, server)
    relay(server, client)
    for (const socket of pair) {
      if (this.#silent) socket.pause()
      socket.on('error', () => {})
      socket.on('close', () => {
        this.#pairs.delete(pair)
        for (const other of pair) other.destroy()
      })
    }
  }
}

/** Not `pipe`, which would resume a paused socket by itself. */
function relay(from: Socket, to: Socket): void {
  from.on('data', (chunk) => to.write(chunk))
}
