import { encodeAck, PACKET_TYPE } from '../wire/ack-frame.ts'
import { type PublishFrame, withPacketId } from '../wire/publish-frame.ts'
import type { OutgoingMessage } from './outgoing-message.ts'
import type { Receiver } from './receiver.ts'

/** A QoS 1 or 2 message for one session. */
export interface Delivery {
  outgoing: OutgoingMessage
  qos: 1 | 2
  retain: boolean
  subscriptionIds: readonly number[] | undefined
  /** Its place in the stored queue; null: not stored, either because it is not kept or because there was no room. */
  seq: number | null
}

interface Inflight {
  seq: number
  qos: 1 | 2
  /** PUBREC has arrived: what is still awaited is PUBCOMP. */
  released: boolean
}

const REASON_PACKET_ID_NOT_FOUND = 0x92
const PACKET_IDS = 65_535

/**
 * QoS 1 and 2 towards one session: what waits, what is on its way, and the acknowledgements. Packet ids follow
 * from the message's number in the session, so that a message keeps its id over links and restarts without
 * that being stored.
 */
export abstract class OutboundQueue {
  protected receiver: Receiver | undefined
  readonly #inflight = new Map<number, Inflight>()

  /** The message is stored where it has to be; sends it or keeps it. */
  abstract push(delivery: Delivery): void
  /** Sends what waits, as far as the window and the socket allow. */
  abstract pump(): void
  /** The message is done with. */
  protected abstract settle(seq: number): void
  /** The message may be forgotten, its id may not. A promise: PUBREL has to wait for it. */
  protected abstract release(seq: number): Promise<void> | undefined

  /** A new link takes over; what was under way is sent again. */
  attach(receiver: Receiver): void {
    this.receiver = receiver
    this.pump()
  }

  detach(): void {
    this.receiver = undefined
    this.#inflight.clear()
  }

  get inflight(): number {
    return this.#inflight.size
  }

  acknowledge(packetId: number): void {
    const entry = this.#inflight.get(packetId)
    if (entry?.qos !== 1) return
    this.#finish(packetId, entry)
  }

  /** Answers a PUBREC; also one for an unknown id, or the client could never free it. */
  received(packetId: number, reasonCode: number): void {
    const { receiver } = this
    if (receiver === undefined) return
    const entry = this.#inflight.get(packetId)
    if (entry?.qos !== 2) {
      if (reasonCode < 0x80) {
        receiver.send(
          encodeAck(PACKET_TYPE.PUBREL, packetId, receiver.version === 5 ? REASON_PACKET_ID_NOT_FOUND : 0),
        )
      }
      return
    }
    // MQTT 5 §4.3.3: the client refuses the message, which ends it.
    if (reasonCode >= 0x80) this.#finish(packetId, entry)
    else if (entry.released) receiver.send(encodeAck(PACKET_TYPE.PUBREL, packetId))
    else this.#release(packetId, entry)
  }

  completed(packetId: number): void {
    const entry = this.#inflight.get(packetId)
    if (entry?.released === true) this.#finish(packetId, entry)
  }

  /** How many more may be sent now. */
  protected room(): number {
    const { receiver } = this
    if (receiver === undefined || receiver.isCongested()) return 0
    return receiver.window - this.#inflight.size
  }

  /** False: the packet id is still in use by a message 65,535 places before; try again when that is done. */
  protected send(place: { seq: number; qos: 1 | 2; dup: boolean }, frame: PublishFrame): boolean {
    const receiver = this.receiver
    if (receiver === undefined) return false
    const packetId = packetIdOf(place.seq)
    if (this.#inflight.has(packetId)) return false
    if (frame.bytes.length > receiver.maximumPacketBytes) {
      // [MQTT-3.1.2-25]: dropped as if it had been delivered.
      this.settle(place.seq)
      return true
    }
    this.#inflight.set(packetId, { seq: place.seq, qos: place.qos, released: false })
    receiver.send(withPacketId(frame, packetId, place.dup))
    return true
  }

  /** Takes up a QoS 2 message whose PUBREC had arrived on an earlier link [MQTT-4.4.0-1]. */
  protected resumeRelease(seq: number): void {
    const packetId = packetIdOf(seq)
    this.#inflight.set(packetId, { seq, qos: 2, released: true })
    this.receiver?.send(encodeAck(PACKET_TYPE.PUBREL, packetId))
  }

  #release(packetId: number, entry: Inflight): void {
    const { receiver } = this
    const announce = () => {
      entry.released = true
      if (this.receiver === receiver) receiver?.send(encodeAck(PACKET_TYPE.PUBREL, packetId))
    }
    const stored = this.release(entry.seq)
    if (stored === undefined) announce()
    // A store that fails leaves the message as it is: the client repeats its PUBREC on the next link.
    else stored.then(announce, () => {})
  }

  #finish(packetId: number, entry: Inflight): void {
    this.#inflight.delete(packetId)
    this.settle(entry.seq)
    this.pump()
  }
}

const packetIdOf = (seq: number): number => ((seq - 1) % PACKET_IDS) + 1
