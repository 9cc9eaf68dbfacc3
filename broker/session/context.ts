import type { Logger } from 'pino'
import type { HubEvent } from '../../contract/hub-event.ts'
import type { HubRecord } from '../../contract/hub-state.ts'
import type { Counters } from '../counters.ts'
import type { Session } from '../deliver/session.ts'
import type { SharedSubscriptions } from '../deliver/shared-subscriptions.ts'
import type { SubscriptionIndex } from '../deliver/subscription-index.ts'
import type { Ingest } from '../ingest.ts'
import type { RouteIntakes } from '../route-intakes.ts'
import type { StateSource } from '../state/state-source.ts'
import type { RetainedIndex } from '../store/retained-index.ts'
import type { Store, SubscriptionRecord } from '../store/store.ts'
import type { LiveDevices } from './live-devices.ts'
import type { Provisioner } from './provisioner.ts'
import type { Sessions } from './sessions.ts'
import type { Wills } from './wills.ts'

/** What packet hooks and the connect flow work with. One per broker. */
export interface SessionContext {
  readonly state: StateSource
  readonly store: Store
  readonly subscriptions: SubscriptionIndex<Session, SubscriptionRecord>
  readonly shared: SharedSubscriptions
  readonly retained: RetainedIndex
  readonly devices: LiveDevices
  readonly sessions: Sessions
  readonly wills: Wills
  readonly ingest: Ingest
  readonly routes: RouteIntakes
  /** Absent: nobody here can make devices. */
  readonly provisioner?: Provisioner
  readonly counters: Counters
  readonly logger: Logger
  /** Rises when what any device may do changes: what links remember about topics is void then. */
  generation: number
  hub(): HubRecord
  raise(event: HubEvent): void
  /** ms since the epoch. */
  now(): number
}
