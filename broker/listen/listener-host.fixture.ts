import { pino } from 'pino'
import type { HubEvent } from '../../contract/hub-event.ts'
import type { HubRecord, NetworkRecord } from '../../contract/hub-state.ts'
import type { LinkFacts } from '../policy/link.ts'
import { ALLOWED, type Verdict } from '../policy/verdict.ts'
import type { Transport, TransportHandlers } from '../wire/transport.ts'
import type { ListenerHost, NetworkPublish, PendingPlace } from './listener-host.ts'

/** One link as the broker gets it, with all that arrived on it. */
export class OpenedLink implements TransportHandlers {
  readonly facts: LinkFacts
  readonly transport: Transport
  readonly place: PendingPlace
  readonly chunks: Buffer[] = []
  closes = 0
  /** What to do with each chunk, beside keeping it. */
  onChunk: (chunk: Buffer) => void = () => {}

  constructor(facts: LinkFacts, transport: Transport, place: PendingPlace) {
    this.facts = facts
    this.transport = transport
    this.place = place
  }

  get received(): Buffer {
    return Buffer.concat(this.chunks)
  }

  onData(chunk: Buffer): void {
    this.chunks.push(Buffer.from(chunk))
    this.onChunk(chunk)
  }

  onClose(): void {
    this.closes += 1
  }
}

/** A hub that takes every link, keeps what it sees, and answers what the test sets. */
export class FakeHost implements ListenerHost {
  record: HubRecord
  readonly links: OpenedLink[] = []
  readonly events: HubEvent[] = []
  readonly published: NetworkPublish[] = []
  networks: NetworkRecord[] = []
  /** The verdict on the next messages. */
  answer: () => Promise<Verdict> = async () => ALLOWED
  readonly logged: string[] = []
  readonly logger = pino({ level: 'debug' }, { write: (line: string) => this.logged.push(line) })

  constructor(record: HubRecord) {
    this.record = record
  }

  hub(): HubRecord {
    return this.record
  }

  networkByName(name: string): NetworkRecord | undefined {
    return this.networks.find((network) => network.name === name)
  }

  openLink(facts: LinkFacts, transport: Transport, place: PendingPlace): TransportHandlers {
    const link = new OpenedLink(facts, transport, place)
    this.links.push(link)
    return link
  }

  async publish(message: NetworkPublish): Promise<Verdict> {
    this.published.push(message)
    return await this.answer()
  }

  raise(event: HubEvent): void {
    this.events.push(event)
  }

  codes(): string[] {
    return this.events.map((event) => event.code)
  }
}
