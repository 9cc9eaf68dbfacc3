/** What the listeners need of the rest of the broker, and what they give it. One-way: nothing in `listen` knows a session. */
import type { Logger } from 'pino'
import type { EnrolmentAnswer, EnrolmentRequest } from '../../contract/asks.ts'
import type { HubEvent } from '../../contract/hub-event.ts'
import type { DeviceRecord, HubRecord, NetworkRecord } from '../../contract/hub-state.ts'
import type { LinkFacts } from '../policy/link.ts'
import type { Verdict } from '../policy/verdict.ts'
import type { Transport, TransportHandlers } from '../wire/transport.ts'

/**
 * The claim of a socket that has not finished its CONNECT (TLS and WebSocket handshakes included) on one of
 * `limits.pendingConnections` places.
 */
export interface PendingPlace {
  /** The CONNECT was accepted, or the socket is gone. May be called more than once. */
  leave(): void
}

/** A message that a token network brings in, its topic complete. */
export interface NetworkPublish {
  network: NetworkRecord
  topic: string
  payload: Buffer
  qos: 0 | 1 | 2
  retain: boolean
}

/** Certificates for devices that ask for them. */
export interface EnrolmentHost {
  /** Whose certificate the client has shown, by the rules of a CONNECT. */
  identify(facts: LinkFacts): Promise<Verdict<DeviceRecord>>
  deviceByName(name: string): Promise<DeviceRecord | undefined>
  /** undefined: no answer in time. The certificate is in force when it comes. */
  enrol(request: EnrolmentRequest): Promise<EnrolmentAnswer | undefined>
}

export interface ListenerHost {
  /** The hub as it is now. */
  hub(): HubRecord
  networkByName(name: string): NetworkRecord | undefined
  /**
   * Takes over a link whose transport is ready. The host closes it when its CONNECT does not come in time;
   * `place` stays taken until the host calls `leave` or the transport closes.
   */
  openLink(facts: LinkFacts, transport: Transport, place: PendingPlace): TransportHandlers
  /** Resolves when the message is stored as its QoS asks. Raises the events of a refusal itself. */
  publish(message: NetworkPublish): Promise<Verdict>
  raise(event: HubEvent): void
  /** Absent: nobody here issues certificates. */
  readonly enrolment?: EnrolmentHost | undefined
  logger: Logger
}
