import type { HubRecord } from '../../contract/hub-state.ts'
import type { PendingPlace } from '../listen/listener-host.ts'
import type { LinkFacts } from '../policy/link.ts'
import { PACKET_TYPE } from '../wire/ack-frame.ts'
import type { FrameStatus } from '../wire/frame-reader.ts'
import type { Transport } from '../wire/transport.ts'
import { closeLink, currentDigest } from './close-link.ts'
import { refusingConnack } from './connack.ts'
import { Connector } from './connect.ts'
import type { SessionContext } from './context.ts'
import { dispatch } from './dispatch.ts'
import { HandshakeEngine } from './handshake-engine.ts'
import { leaveSession } from './leave-session.ts'
import { Link, type LinkOwner } from './link.ts'
import { protocolFault } from './protocol-fault.ts'

/** All links of the broker, from the first byte to the last. */
export class LinkHost implements LinkOwner {
  readonly #context: SessionContext
  readonly #connector: Connector
  readonly #links = new Set<Link>()
  #engine: HandshakeEngine | undefined

  constructor(context: SessionContext) {
    this.#context = context
    this.#connector = new Connector(context)
  }

  async start(): Promise<void> {
    this.#engine = await HandshakeEngine.start({
      onConnect: (link, packet) => this.#connector.connect(link, packet),
      onReady: (link) => this.#connector.ready(link),
      onMalformed: (link, error) =>
        closeLink(this.#context, link, {
          code: 'PACKET_MALFORMED',
          detail: error.message,
          packet: currentDigest(link),
        }),
    })
  }

  /** Every link, also those that have not said who they are. */
  get links(): ReadonlySet<Link> {
    return this.#links
  }

  open(facts: LinkFacts, transport: Transport, place: PendingPlace): Link {
    const link = new Link(facts, transport, place, this)
    this.#links.add(link)
    return link
  }

  /** Closes every link as a server that goes down. */
  async stop(): Promise<void> {
    for (const link of [...this.#links]) link.close()
    await this.#engine?.stop()
  }

  hub(): HubRecord {
    return this.#context.hub()
  }

  now(): number {
    return this.#context.now()
  }

  onFrame(link: Link): void {
    if (link.phase === 'Open') dispatch(this.#context, link)
    else this.#onFirstFrame(link)
  }

  onBadFrame(link: Link, status: Exclude<FrameStatus, 'Frame' | 'Incomplete'>): void {
    const { reader } = link
    const packet = status === 'TooLarge' ? currentDigest(link) : undefined
    if (status === 'Malformed') {
      closeLink(this.#context, link, { code: 'PACKET_MALFORMED', detail: 'remaining length' })
      return
    }
    const detail = `${reader.bodyEnd - reader.bodyStart} bytes, at most ${reader.maxBytes}`
    const isPublish = reader.header >> 4 === PACKET_TYPE.PUBLISH && link.phase === 'Open'
    closeLink(this.#context, link, {
      code: isPublish ? 'PAYLOAD_TOO_LARGE' : 'PACKET_TOO_LARGE',
      detail,
      packet,
    })
  }

  onStoreFault(link: Link, error: unknown): void {
    this.#context.counters.storeFaults += 1
    this.#context.logger.error({ err: error }, 'a message could not be stored; its sender is disconnected')
    // Unacknowledged, so the client sends it again, on a link whose order nothing has disturbed.
    link.close()
  }

  onClosed(link: Link): void {
    this.#links.delete(link)
    this.#engine?.end(link)
    leaveSession(this.#context, link)
  }

  /** Half-open links cost no more than their socket: the engine comes in with a whole CONNECT. */
  #onFirstFrame(link: Link): void {
    const { reader } = link
    const fault = protocolFault(reader)
    if (fault !== undefined) {
      const answer =
        fault.code === 'UNSUPPORTED_PROTOCOL' ? refusingConnack(fault.code, fault.version) : undefined
      closeLink(this.#context, link, { ...fault, packet: currentDigest(link) }, answer)
      return
    }
    link.phase = 'Connecting'
    link.hold()
    this.#engine?.begin(link, reader.buffer.subarray(reader.frameStart, reader.bodyEnd))
  }
}
