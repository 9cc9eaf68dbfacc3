import type { IncomingMessage } from 'node:http'

export type Body = Buffer | 'TooLarge' | 'Busy' | 'Gone'

/** Bytes of all bodies being read at once. One listener must not fill the memory with requests half done. */
export class BodyBudget {
  readonly #limit: () => number
  #taken = 0

  constructor(limit: () => number) {
    this.#limit = limit
  }

  take(bytes: number): boolean {
    this.#taken += bytes
    return this.#taken <= this.#limit()
  }

  give(bytes: number): void {
    this.#taken -= bytes
  }
}

/** Reads a whole body, and no further than `maxBytes`. Never rejects. */
export async function readBody(
  request: IncomingMessage,
  maxBytes: number,
  budget: BodyBudget,
): Promise<Body> {
  const chunks: Buffer[] = []
  let bytes = 0
  const result = await new Promise<Body>((resolve) => {
    request.on('data', (chunk: Buffer) => {
      bytes += chunk.length
      const fits = budget.take(chunk.length)
      if (bytes > maxBytes) resolve('TooLarge')
      else if (!fits) resolve('Busy')
      else chunks.push(chunk)
    })
    request.once('end', () => resolve(Buffer.concat(chunks)))
    request.once('error', () => resolve('Gone'))
    request.once('close', () => resolve('Gone'))
  })
  request.removeAllListeners('data')
  request.pause()
  budget.give(bytes)
  return result
}

/** What a client sends after its answer is read this far, so that the answer reaches it before a reset does. */
const DISCARD_BYTES = 1024 * 1024
const DISCARD_MS = 1_000

/** Resolves when the request is complete, its connection gone, or enough of it has been thrown away. */
export async function discardBody(request: IncomingMessage): Promise<void> {
  if (request.complete || request.destroyed) return
  let left = DISCARD_BYTES
  await new Promise<void>((resolve) => {
    const timer = setTimeout(resolve, DISCARD_MS)
    const done = () => {
      clearTimeout(timer)
      resolve()
    }
    request.on('data', (chunk: Buffer) => {
      left -= chunk.length
      if (left <= 0) done()
    })
    request.once('end', done)
    request.once('error', done)
    request.once('close', done)
    request.resume()
  })
  request.removeAllListeners('data')
}
