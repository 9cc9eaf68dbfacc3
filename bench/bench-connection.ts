import { connect, type Socket } from 'node:net'
import {
  ACK_LENGTH,
  connectFrame,
  PUBACK,
  PUBCOMP,
  PUBLISH,
  PUBREC,
  PUBREL,
  type QoS,
  subscribeFrame,
} from './frames.ts'

const READ_BUFFER_BYTES = 64 * 1024
const CONNACK = 2
const SUBACK = 9
const SETUP_TIMEOUT_MS = 10_000

/** What a scenario does with what comes in. Offsets point into the buffer, which is only valid meanwhile. */
export interface FrameHandlers {
  onPublish?: (buffer: Buffer, payloadAt: number) => void
  /** A publish of this connection is through: PUBACK, or PUBCOMP at QoS 2. */
  onDone?: () => void
  /** Everything that one read brought has been handled: the moment to send. */
  onReadEnd?: () => void
}

/**
 * One MQTT link that steps from frame to frame without looking into payloads, acknowledges by itself and
 * answers all frames of one read by one write.
 */
export class BenchConnection {
  readonly #socket: Socket
  readonly #handlers: FrameHandlers
  #carry: Buffer | undefined
  #acks = Buffer.allocUnsafe(READ_BUFFER_BYTES)
  #acksLength = 0
  #setupStep: ((ok: boolean) => void) | undefined

  constructor(port: number, handlers: FrameHandlers, onLost: (reason: string) => void) {
    this.#handlers = handlers
    this.#socket = connect({
      port,
      host: '127.0.0.1',
      noDelay: true,
      onread: {
        buffer: Buffer.allocUnsafe(READ_BUFFER_BYTES),
        callback: (length: number, buffer: Uint8Array) => {
          this.#read(Buffer.from(buffer.buffer, buffer.byteOffset, length))
          return true
        },
      },
    })
    this.#socket.once('error', (error) => onLost(error.message))
    this.#socket.once('close', () => onLost('closed by the broker'))
  }

  async open(clientId: string): Promise<void> {
    await this.#setup(connectFrame(clientId), 'CONNECT')
  }

  async subscribe(filter: string, qos: QoS): Promise<void> {
    await this.#setup(subscribeFrame(filter, qos), 'SUBSCRIBE')
  }

  write(bytes: Buffer): void {
    this.#socket.write(bytes)
  }

  close(): void {
    this.#socket.removeAllListeners('close')
    this.#socket.destroy()
  }

  async #setup(frame: Buffer, what: string): Promise<void> {
    const answered = new Promise<boolean>((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`no answer to ${what}`)), SETUP_TIMEOUT_MS)
      this.#setupStep = (ok) => {
        clearTimeout(timer)
        resolve(ok)
      }
    })
    this.#socket.write(frame)
    if (!(await answered)) throw new Error(`${what} refused`)
  }

  #read(chunk: Buffer): void {
    const buffer = this.#carry === undefined ? chunk : Buffer.concat([this.#carry, chunk])
    this.#carry = undefined
    let at = 0
    while (at < buffer.length) {
      const next = this.#frame(buffer, at)
      if (next < 0) {
        // A copy: the read buffer is used again.
        this.#carry = Buffer.from(buffer.subarray(at))
        break
      }
      at = next
    }
    if (this.#acksLength > 0) {
      this.#socket.write(Buffer.from(this.#acks.subarray(0, this.#acksLength)))
      this.#acksLength = 0
    }
    this.#handlers.onReadEnd?.()
  }

  /** Handles the frame at `at` and returns where the next one starts; -1: it has not come in whole. */
  #frame(buffer: Buffer, at: number): number {
    let length = 0
    let shift = 0
    let body = at + 1
    let digit: number
    do {
      if (body >= buffer.length) return -1
      digit = buffer[body++] as number
      length |= (digit & 127) << shift
      shift += 7
    } while (digit > 127)
    const end = body + length
    if (end > buffer.length) return -1
    const first = buffer[at] as number
    if (first >> 4 === PUBLISH) this.#publish(buffer, first, body)
    else this.#other(first >> 4, buffer, body)
    return end
  }

  #publish(buffer: Buffer, first: number, body: number): void {
    const qos = (first >> 1) & 3
    let payloadAt = body + 2 + (((buffer[body] as number) << 8) | (buffer[body + 1] as number))
    if (qos > 0) {
      this.#ack(qos === 1 ? PUBACK : PUBREC, buffer, payloadAt)
      payloadAt += 2
    }
    this.#handlers.onPublish?.(buffer, payloadAt)
  }

  #other(type: number, buffer: Buffer, body: number): void {
    if (type === PUBACK || type === PUBCOMP) this.#handlers.onDone?.()
    else if (type === PUBREC) this.#ack(PUBREL, buffer, body)
    else if (type === PUBREL) this.#ack(PUBCOMP, buffer, body)
    else if (type === CONNACK) this.#setupStep?.(buffer[body + 1] === 0)
    else if (type === SUBACK) this.#setupStep?.((buffer[body + 2] as number) < 0x80)
  }

  #ack(type: number, buffer: Buffer, idAt: number): void {
    if (this.#acksLength + ACK_LENGTH > this.#acks.length) {
      this.#socket.write(Buffer.from(this.#acks.subarray(0, this.#acksLength)))
      this.#acksLength = 0
    }
    const at = this.#acksLength
    this.#acks[at] = (type << 4) | (type === PUBREL ? 2 : 0)
    this.#acks[at + 1] = 2
    this.#acks[at + 2] = buffer[idAt] as number
    this.#acks[at + 3] = buffer[idAt + 1] as number
    this.#acksLength = at + ACK_LENGTH
  }
}
