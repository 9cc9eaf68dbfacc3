import type { QueueEntry, Store } from '../store/store.ts'
import { type Delivery, OutboundQueue } from './outbound-queue.ts'
import { OutgoingMessage } from './outgoing-message.ts'
import type { Receiver } from './receiver.ts'

/** Entries read from the store at a time: bounds what one slow session holds in memory. */
const PAGE = 64

export interface PersistentQueueOptions {
  store: Pick<Store, 'readQueue' | 'release' | 'acknowledge'>
  sessionKey: string
  /** The session is from an earlier life of the process: what had been sent then is not known. */
  restored: boolean
  /** Asked again for what has waited: the device's filters may have changed since. */
  allows: (topic: string) => boolean
  /** ms since the epoch. */
  now: () => number
  onFault: (error: unknown) => void
}

/**
 * The queue of a session that outlives its links. The truth lies in the store; a message is sent straight from
 * the publisher's hand only when nothing older waits there, else the store is read in order.
 */
export class PersistentQueue extends OutboundQueue {
  readonly #options: PersistentQueueOptions
  /** Highest number sent on this link. */
  #sentSeq = 0
  /** Highest number ever sent: up to it a message is repeated with DUP. */
  #everSentSeq = 0
  /** Highest number that was pushed. */
  #newestSeq = 0
  /** The store may hold entries after `#sentSeq`. */
  #unread = true
  #pushes = 0
  #pumping = false
  /** First entries after a restart that may have been sent before it. */
  #maybeSent: number

  constructor(options: PersistentQueueOptions) {
    super()
    this.#options = options
    this.#maybeSent = options.restored ? Number.POSITIVE_INFINITY : 0
  }

  push({ outgoing, qos, retain, subscriptionIds, seq }: Delivery): void {
    if (seq === null) return
    const follows = seq === this.#newestSeq + 1
    this.#newestSeq = Math.max(this.#newestSeq, seq)
    this.#pushes += 1
    if (this.receiver === undefined) {
      this.#unread = true
      return
    }
    if (follows && !this.#unread && !this.#pumping && this.room() > 0) {
      const { version } = this.receiver
      const frame = outgoing.frame({ version, qos, retain, subscriptionIds })
      if (this.send({ seq, qos, dup: false }, frame)) {
        this.#sent(seq)
        return
      }
    }
    // A number that comes late was read from the store together with those after it.
    if (seq <= this.#sentSeq) return
    this.#unread = true
    this.pump()
  }

  pump(): void {
    if (this.#unread && !this.#pumping && this.receiver !== undefined) void this.#run()
  }

  override attach(receiver: Receiver): void {
    this.#sentSeq = 0
    this.#unread = true
    // What a window of an earlier life held may have been seen by the client.
    this.#maybeSent = Math.min(this.#maybeSent, receiver.window)
    super.attach(receiver)
  }

  override detach(): void {
    super.detach()
    this.#unread = true
  }

  protected settle(seq: number): void {
    this.#options.store.acknowledge(this.#options.sessionKey, seq)
  }

  protected release(seq: number): Promise<void> {
    return this.#options.store.release(this.#options.sessionKey, seq).catch((error: unknown) => {
      this.#options.onFault(error)
      throw error
    })
  }

  async #run(): Promise<void> {
    const { receiver } = this
    this.#pumping = true
    try {
      while (this.receiver === receiver && this.#unread) {
        const limit = Math.min(this.room(), PAGE)
        if (limit <= 0 || !(await this.#sendPage(receiver, limit))) break
      }
    } catch (error) {
      this.#options.onFault(error)
    } finally {
      this.#pumping = false
    }
    // Another link took over while the store was being read for the one before.
    if (this.receiver !== receiver) this.pump()
  }

  /** False: nothing more can be sent now. */
  async #sendPage(receiver: Receiver | undefined, limit: number): Promise<boolean> {
    const { store, sessionKey, now } = this.#options
    const pushes = this.#pushes
    // MQTT 5 §3.3.2.3.3: only a message whose delivery has not begun may expire.
    const time = this.#sentSeq < this.#everSentSeq ? 0 : now()
    const entries = await store.readQueue(sessionKey, this.#sentSeq, limit, time)
    if (this.receiver !== receiver) return false
    for (const entry of entries) {
      if (!this.#sendEntry(entry)) return false
      this.#newestSeq = Math.max(this.#newestSeq, entry.seq)
    }
    if (entries.length < limit && this.#pushes === pushes) this.#unread = false
    return true
  }

  #sendEntry({ seq, message, qos, retain, subscriptionIds, released }: QueueEntry): boolean {
    if (released) {
      this.resumeRelease(seq)
      this.#sent(seq)
      return true
    }
    if (!this.#options.allows(message.topic)) {
      this.settle(seq)
      this.#sentSeq = seq
      return true
    }
    const { version } = this.receiver!
    const frame = new OutgoingMessage(message, this.#options.now()).frame({
      version,
      qos,
      retain,
      subscriptionIds,
    })
    const dup = seq <= this.#everSentSeq || this.#maybeSent > 0
    if (!this.send({ seq, qos, dup }, frame)) return false
    this.#sent(seq)
    return true
  }

  #sent(seq: number): void {
    this.#sentSeq = seq
    this.#everSentSeq = Math.max(this.#everSentSeq, seq)
    if (this.#maybeSent > 0) this.#maybeSent -= 1
  }
}
