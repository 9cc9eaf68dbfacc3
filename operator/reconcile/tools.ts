/** What every reconciler works with. */

import type { Clock } from '../../contract/clock.ts'
import type { Secret } from '../api/resources.ts'
import type { BuildSettings } from '../build/object.ts'
import type { RecordMemo } from '../compile/record-memo.ts'
import type { ApiClient } from '../runtime/api-client.ts'
import { Applier, type ApplyResult } from '../runtime/apply.ts'
import type { EventSink } from '../runtime/events.ts'
import type { ObjectKey } from '../runtime/resource.ts'
import type { NamespaceGate } from '../watch/namespace-gate.ts'
import type { SecretReader } from '../watch/secret-reader.ts'
import type { World } from '../watch/world.ts'
import type { Activities } from './activities.ts'
import type { ComputedStatuses } from './computed-statuses.ts'
import type { Enrolments } from './enrolments.ts'
import type { HeldCertificates } from './held-certificates.ts'
import type { HubStatePublisher } from './ports.ts'
import type { PublishedHubs } from './published.ts'
import type { RouteReportsSeen } from './route-reports.ts'
import type { TokenIssuerReader } from './token-issuer.ts'

export interface Tools {
  /** Guarded: no write leaves it without the lease. */
  client: ApiClient
  world: World
  gate: NamespaceGate
  secrets: SecretReader
  clock: Clock
  /** `n` bytes nobody can guess. */
  randomBytes: (size: number) => Uint8Array
  events: EventSink
  publisher: HubStatePublisher
  published: PublishedHubs
  computed: ComputedStatuses
  held: HeldCertificates
  records: RecordMemo
  activities: Activities
  enrolments: Enrolments
  tokenIssuer: TokenIssuerReader
  /** Hubs whose brokers wait for an answer: they want to hear of every publication. */
  openAsks: Set<ObjectKey>
  routeReports: RouteReportsSeen
  /** Asks for a run of a device. */
  wakeDevice: (device: ObjectKey) => void
  /** Asks for the state of a hub to be published. */
  wakeState: (hub: ObjectKey) => void
  settings: BuildSettings
  /** The operator's own Redis for hubs that name none: `namespace/name` of a Secret. */
  defaultRedisSecret?: string
  /** Reads it; undefined: it is not there. */
  readDefaultRedis: (signal: AbortSignal) => Promise<Secret | undefined>
}

export const FINALIZER = 'iot.hublet.dev/clean-up'
/** By it, set to `true`, a person lets an object go that cannot be cleaned up after. */
export const FORCE_ANNOTATION = 'iot.hublet.dev/force-delete'
/** Of a Secret of ours: the value of the rotate annotation that its certificate was made by. */
export const ROTATION_ANNOTATION = 'iot.hublet.dev/rotation'
const HASH_ANNOTATION = 'iot.hublet.dev/applied'

/** Field managers: each controller owns the fields that it writes. */
export const FIELD_MANAGERS = {
  hub: 'hublet-hub',
  device: 'hublet-device',
  network: 'hublet-network',
  route: 'hublet-route',
  provisioning: 'hublet-provisioning',
} as const

export const createApplier = ({ client, world }: Tools, fieldManager: string): Applier =>
  new Applier({
    client,
    fieldManager,
    hashAnnotation: HASH_ANNOTATION,
    view: ({ plural }) => world.owned.get(plural),
  })

/** Something that keeps an object from being ready. */
export interface Problem {
  reason: string
  message: string
  /** Only a person can help; otherwise it is tried again, or an event brings the next try. */
  stalled: boolean
}

export const stalledBy = (reason: string, message: string): Problem => ({ reason, message, stalled: true })
export const waitsFor = (reason: string, message: string): Problem => ({ reason, message, stalled: false })

/** Names that are taken need a person; the rest passes by itself. */
export const refusals = (results: readonly ApplyResult[]): Problem[] =>
  results.flatMap((result) =>
    result.outcome === 'refused'
      ? [{ reason: result.reason, message: result.message, stalled: result.reason === 'NameTaken' }]
      : [],
  )
