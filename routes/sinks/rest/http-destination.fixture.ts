import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from 'node:http'

export interface SeenRequest {
  method: string
  path: string
  headers: IncomingHttpHeaders
  body: Buffer
}

export type Answer = (seen: SeenRequest, response: ServerResponse) => void

/** A real HTTP server on loopback that keeps what it was sent and answers as told; 204 at first. */
export class HttpDestination {
  readonly seen: SeenRequest[] = []
  answer: Answer = (_, response) => response.writeHead(204).end()
  connections = 0
  readonly #server = createServer((request, response) => void this.#take(request, response))

  async start(): Promise<void> {
    if (this.#server.listening) return
    this.#server.on('connection', () => {
      this.connections += 1
    })
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve))
  }

  get port(): number {
    const address = this.#server.address()
    return typeof address === 'object' && address !== null ? address.port : 0
  }

  take(): SeenRequest[] {
    return this.seen.splice(0)
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections()
    await new Promise((resolve) => this.#server.close(resolve))
  }

  async #take(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = []
    for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk)
    const { method = '', url = '', headers } = request
    const seen = { method, path: url, headers, body: Buffer.concat(chunks) }
    this.seen.push(seen)
    this.answer(seen, response)
  }
}
