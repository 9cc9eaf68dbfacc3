import type { HubRecord } from '../../contract/hub-state.ts'
import type { LiveDevice } from '../deliver/live-device.ts'
import type { Receiver } from '../deliver/receiver.ts'
import type { Recipient } from '../deliver/recipients.ts'
import type { Session } from '../deliver/session.ts'
import type { PendingPlace } from '../listen/listener-host.ts'
import type { LiveLink } from '../policy/disconnects.ts'
import type { LinkFacts } from '../policy/link.ts'
import type { AcceptResult } from '../store/store.ts'
import { FrameReader, type FrameStatus } from '../wire/frame-reader.ts'
import { Outbox } from '../wire/outbox.ts'
import type { ProtocolVersion } from '../wire/publish-frame.ts'
import type { Transport, TransportHandlers } from '../wire/transport.ts'
import { Pipeline } from './pipeline.ts'

/**
 * Before anybody has said who they are, a packet may not be larger. Fields of a CONNECT are at most 64 KiB
 * each, so five of them fit, and some properties.
 */
const MAX_CONNECT_BYTES = 512 * 1024
/** Publishes awaiting the store at which the link is read no further, and at which it is again. */
const PIPELINE_HIGH = 256
const PIPELINE_LOW = 128
/** Topics a link remembers its answers for. A device that uses more of them pays for each again. */
const REMEMBERED_TOPICS = 256

/** What a link remembers about a topic it publishes to, while `generation` and `subscriptions` are current. */
export interface KnownTopic {
  topic: string
  allowed: boolean
  generation: number
  /** Version of the subscription index that `recipients` is from. */
  subscriptions: number
  recipients: readonly Recipient[]
}

/** What the rest of the broker does with a link. */
export interface LinkOwner {
  hub(): HubRecord
  now(): number
  /** The reader stands on a complete packet. */
  onFrame(link: Link): void
  onBadFrame(link: Link, status: Exclude<FrameStatus, 'Frame' | 'Incomplete'>): void
  /** The store failed for something that came in on this link. */
  onStoreFault(link: Link, error: unknown): void
  /** Once, whoever closed. */
  onClosed(link: Link): void
}

/** One connection of a client, from its first byte to its last. */
export class Link implements TransportHandlers, Receiver {
  readonly facts: LinkFacts
  readonly transport: Transport
  readonly reader = new FrameReader(MAX_CONNECT_BYTES)
  readonly outbox: Outbox
  readonly pipeline: Pipeline<AcceptResult>
  readonly place: PendingPlace
  phase: 'Waiting' | 'Connecting' | 'Open' | 'Closed' = 'Waiting'
  version: ProtocolVersion = 4
  maximumPacketBytes = Number.POSITIVE_INFINITY
  window = 0
  /** From here on set once the client is known. */
  device: LiveDevice<Link> | undefined
  session: Session | undefined
  live: LiveLink | undefined
  readonly connectedAt: number
  /** ms since the epoch. */
  lastHeardAt: number
  /** One and a half keep-alive intervals; 0: none. */
  silenceAllowedMs = 0
  /** The client said goodbye, so its will is void. */
  saidGoodbye = false
  readonly topics = new Map<string, KnownTopic>()
  /** MQTT 5 topic aliases of this connection, as raw topics. */
  readonly aliases = new Map<number, string>()
  /** For the slow-reader sweep: what the kernel had taken when it looked last, and when that last grew. */
  flushedBytes = 0
  flushedAt: number
  readonly #owner: LinkOwner
  #holds = 0
  #reading = false
  #heldByPipeline = false

  constructor(facts: LinkFacts, transport: Transport, place: PendingPlace, owner: LinkOwner) {
    this.facts = facts
    this.transport = transport
    this.place = place
    this.#owner = owner
    this.outbox = new Outbox(transport)
    const now = owner.now()
    this.connectedAt = now
    this.lastHeardAt = now
    this.flushedAt = now
    this.pipeline = new Pipeline({
      onFault: (error) => owner.onStoreFault(this, error),
      onShrink: () => this.#onPipelineShrink(),
    })
  }

  onData(chunk: Buffer): void {
    if (this.phase === 'Closed') return
    this.lastHeardAt = this.#owner.now()
    this.reader.push(chunk)
    this.#read()
  }

  onClose(): void {
    this.#finish()
  }

  send(frame: Buffer): void {
    this.outbox.send(frame)
  }

  isCongested(): boolean {
    return this.outbox.isOver(this.#owner.hub().limits.queueBytes)
  }

  get isHeld(): boolean {
    return this.#holds > 0
  }

  /** Stops reading until `release`: what has arrived stays in the reader, the rest with the client. */
  hold(): void {
    this.#holds += 1
    if (this.#holds === 1) this.transport.pause()
  }

  release(): void {
    this.#holds -= 1
    if (this.#holds > 0 || this.phase === 'Closed') return
    this.transport.resume()
    this.#read()
  }

  /** To be called after each publish that went into the pipeline. */
  watchPipeline(): void {
    if (this.#heldByPipeline || this.pipeline.size < PIPELINE_HIGH) return
    this.#heldByPipeline = true
    this.hold()
  }

  remember(topicKey: string, known: KnownTopic): void {
    if (this.topics.size >= REMEMBERED_TOPICS) this.topics.clear()
    this.topics.set(topicKey, known)
  }

  /** Sends `lastFrame`, if any, and what is pending, then closes. */
  close(lastFrame?: Buffer): void {
    if (this.phase === 'Closed') return
    if (lastFrame !== undefined) this.outbox.send(lastFrame)
    this.outbox.flush()
    this.#finish()
    this.transport.end()
  }

  /** Closes at once: for a client that does not read. */
  cut(): void {
    if (this.phase === 'Closed') return
    this.#finish()
    this.transport.destroy()
  }

  #finish(): void {
    if (this.phase === 'Closed') return
    this.phase = 'Closed'
    this.reader.clear()
    this.outbox.clear()
    this.topics.clear()
    this.aliases.clear()
    this.place.leave()
    this.#owner.onClosed(this)
  }

  #read(): void {
    // `release` may be called from within a packet: the loop that is running goes on.
    if (this.#reading) return
    this.#reading = true
    while (this.#holds === 0 && this.#isOpen()) {
      const status = this.reader.next()
      if (status === 'Incomplete') break
      if (status === 'Frame') this.#owner.onFrame(this)
      else this.#owner.onBadFrame(this, status)
    }
    this.#reading = false
    // An idle link keeps no chunk of the socket alive.
    if (this.reader.buffered === 0) this.reader.clear()
  }

  /** A call, because a packet handler changes the phase behind the compiler's back. */
  #isOpen(): boolean {
    return this.phase !== 'Closed'
  }

  #onPipelineShrink(): void {
    if (!this.#heldByPipeline || this.pipeline.size > PIPELINE_LOW) return
    this.#heldByPipeline = false
    this.release()
  }
}
