import { TransportError } from './api-error.ts'

/** Cuts a byte stream into lines of JSON. Keeps what is not yet a whole line, up to `maxLineBytes`. */
export class JsonLines {
  readonly #maxLineBytes: number
  #parts: Buffer[] = []
  #size = 0

  constructor(maxLineBytes: number) {
    this.#maxLineBytes = maxLineBytes
  }

  /** The values that `chunk` completes, in order. Throws TransportError: BAD_BODY, TOO_LARGE. */
  *push(chunk: Buffer): Generator<unknown> {
    let from = 0
    for (let end = chunk.indexOf(10); end >= 0; end = chunk.indexOf(10, from)) {
      const line = this.#complete(chunk.subarray(from, end))
      from = end + 1
      if (line.length > 0) yield parse(line)
    }
    if (from < chunk.length) this.#keep(chunk.subarray(from))
  }

  #complete(tail: Buffer): string {
    const line = this.#parts.length === 0 ? tail : Buffer.concat([...this.#parts, tail])
    this.#parts = []
    this.#size = 0
    return line.toString('utf8')
  }

  #keep(part: Buffer): void {
    this.#size += part.length
    if (this.#size > this.#maxLineBytes) {
      throw new TransportError('TOO_LARGE', `a watch event of more than ${this.#maxLineBytes} bytes`)
    }
    this.#parts.push(part)
  }
}

function parse(line: string): unknown {
  try {
    return JSON.parse(line)
  } catch (error) {
    throw new TransportError('BAD_BODY', 'a line of a watch is not JSON', error)
  }
}
