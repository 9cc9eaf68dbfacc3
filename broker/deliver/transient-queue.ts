import type { StoreLimits } from '../store/store.ts'
import { detachMessage, isExpired, messageBytes } from '../store/stored-message.ts'
import { type Delivery, OutboundQueue } from './outbound-queue.ts'
import { OutgoingMessage } from './outgoing-message.ts'

export interface TransientQueueOptions {
  limits: () => StoreLimits
  /** Asked again for what has waited: the device's filters may have changed since. */
  allows: (topic: string) => boolean
  /** ms since the epoch. */
  now: () => number
  /** Messages were lost to the bound. */
  onDrop: (count: number) => void
}

/** The queue of a session that ends with its link: in memory, bounded like a stored one. */
export class TransientQueue extends OutboundQueue {
  readonly #options: TransientQueueOptions
  #waiting: Array<Delivery | undefined> = []
  #head = 0
  #bytes = 0
  #sent = 0

  constructor(options: TransientQueueOptions) {
    super()
    this.#options = options
  }

  push(delivery: Delivery): void {
    if (this.receiver === undefined) return
    if (this.#head === this.#waiting.length && this.room() > 0 && this.#transmit(delivery)) return
    this.#enqueue(delivery)
  }

  pump(): void {
    let room = this.room()
    while (room > 0 && this.#head < this.#waiting.length) {
      const delivery = this.#waiting[this.#head]!
      const now = this.#options.now()
      const { message } = delivery.outgoing
      if (isExpired(message, now) || !this.#options.allows(message.topic)) this.#shift()
      else if (this.#transmit(counted(delivery, now))) {
        this.#shift()
        room -= 1
      } else return
    }
  }

  override detach(): void {
    super.detach()
    this.#waiting = []
    this.#head = 0
    this.#bytes = 0
  }

  protected settle(): void {}

  protected release(): undefined {
    return undefined
  }

  #transmit({ outgoing, qos, retain, subscriptionIds }: Delivery): boolean {
    const { version } = this.receiver!
    const frame = outgoing.frame({ version, qos, retain, subscriptionIds })
    if (!this.send({ seq: this.#sent + 1, qos, dup: false }, frame)) return false
    this.#sent += 1
    return true
  }

  #enqueue(delivery: Delivery): void {
    const { queueMessages, queueBytes, queueOverflow } = this.#options.limits()
    const { message } = delivery.outgoing
    const bytes = messageBytes(message)
    let dropped = 0
    const full = () => this.#waiting.length - this.#head >= queueMessages || this.#bytes + bytes > queueBytes
    if (queueOverflow === 'DropOldest' && bytes <= queueBytes) {
      for (; full() && this.#head < this.#waiting.length; dropped += 1) this.#shift()
    }
    if (full()) dropped += 1
    else {
      this.#bytes += bytes
      // The payload is a view of the socket's chunk, which may not be kept alive by what waits.
      const detached = detachMessage(message)
      const outgoing =
        detached === message ? delivery.outgoing : new OutgoingMessage(detached, this.#options.now())
      this.#waiting.push({ ...delivery, outgoing })
    }
    if (dropped > 0) this.#options.onDrop(dropped)
  }

  #shift(): void {
    const delivery = this.#waiting[this.#head]!
    this.#waiting[this.#head] = undefined
    this.#head += 1
    this.#bytes -= messageBytes(delivery.outgoing.message)
    if (this.#head < 64 || this.#head * 2 < this.#waiting.length) return
    this.#waiting = this.#waiting.slice(this.#head)
    this.#head = 0
  }
}

/** The time that is left to an expiring message is counted when it is sent, not when it came. */
function counted(delivery: Delivery, now: number): Delivery {
  const { message } = delivery.outgoing
  return message.expiresAt === undefined
    ? delivery
    : { ...delivery, outgoing: new OutgoingMessage(message, now) }
}
