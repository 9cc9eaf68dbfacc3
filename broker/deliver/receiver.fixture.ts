import { FrameReader } from '../wire/frame-reader.ts'
import { decodePublish, type ProtocolVersion } from '../wire/publish-frame.ts'
import type { Receiver } from './receiver.ts'

/** One frame as a client would read it. */
export interface SeenFrame {
  type: number
  packetId: number
  text?: string
  qos?: number
  dup?: boolean
  retain?: boolean
}

/** The receiving end of a session, its frames decoded as a client would. */
export class RecordingReceiver implements Receiver {
  readonly version: ProtocolVersion
  readonly frames: SeenFrame[] = []
  maximumPacketBytes = Number.POSITIVE_INFINITY
  window: number
  congested = false

  constructor(options: { version?: ProtocolVersion; window?: number } = {}) {
    this.version = options.version ?? 4
    this.window = options.window ?? 10
  }

  get texts(): string[] {
    return this.frames.flatMap(({ text }) => text ?? [])
  }

  send(frame: Buffer): void {
    const reader = new FrameReader(1_000_000)
    reader.push(frame)
    reader.next()
    const type = reader.header >> 4
    if (type !== 3) {
      this.frames.push({ type, packetId: reader.buffer.readUInt16BE(reader.bodyStart) })
      return
    }
    const { packetId, payload, qos, dup, retain } = decodePublish(reader, this.version)
    this.frames.push({ type, packetId, text: payload.toString(), qos, dup, retain })
  }

  isCongested(): boolean {
    return this.congested
  }
}
