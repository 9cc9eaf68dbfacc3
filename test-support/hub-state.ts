import { createHash, randomUUID } from 'node:crypto'
import {
  type DeviceRecord,
  HUB_STATE_VERSION,
  type HubLimits,
  type HubRecord,
  type HubState,
  type NetworkRecord,
  type RouteRecord,
} from '../contract/hub-state.ts'
import { ROUTE_SINKS, type RouteSink, type RouteSpec } from '../crds/route.ts'

const LIMITS: HubLimits = {
  payloadBytes: 4 * 1024 * 1024,
  devices: 10_000,
  connections: 10_000,
  pendingConnections: 1_000,
  connectsPerSecond: 0,
  messagesPerSecond: 0,
  queueMessages: 10_000,
  queueBytes: 64 * 1024 * 1024,
  queueOverflow: 'DropOldest',
  inflight: 1_000,
  sessionsPerDevice: 16,
  subscriptionsPerSession: 1_000,
  retainedMessages: 10_000,
  retainedBytes: 64 * 1024 * 1024,
  eventsPerSecond: 1_000,
}

type HubOverrides = Partial<Omit<HubRecord, 'limits' | 'messaging' | 'events'>> & {
  limits?: Partial<HubLimits>
  messaging?: Partial<HubRecord['messaging']>
  events?: Partial<HubRecord['events']>
}

/** A hub without rate limits, so that a test only meets the bound it sets itself. */
export function hub({ limits, messaging, events, ...overrides }: HubOverrides = {}): HubRecord {
  return {
    uid: randomUUID(),
    name: 'hub',
    namespace: 'default',
    enabled: true,
    deviceTrust: { mode: 'Managed', caCertificates: [] },
    ...overrides,
    limits: { ...LIMITS, ...limits },
    messaging: {
      retained: true,
      maxQoS: 2,
      persistentSessions: true,
      sessionExpirySeconds: 3_600,
      ...messaging,
    },
    events: { enabled: true, topicPrefix: '$hub/events', ...events },
  }
}

type DeviceOverrides = Partial<Omit<DeviceRecord, 'filters' | 'certificate'>> & {
  filters?: Partial<DeviceRecord['filters']>
  certificate?: Partial<DeviceRecord['certificate']>
}

/**
 * A device that may connect without a certificate, publish and subscribe anything: what a test asks of it
 * is then named in the test. Ids are 36 characters, as in real life.
 */
export function device({ filters, certificate, ...overrides }: DeviceOverrides = {}): DeviceRecord {
  const id = overrides.id ?? randomUUID()
  return {
    id,
    name: `device-${id.slice(0, 8)}`,
    enabled: true,
    revoked: false,
    allowInsecure: true,
    allowMultipleConnections: false,
    templateErrors: [],
    revokedFingerprints: [],
    ...overrides,
    filters: {
      publish: { policy: 'Reject', topics: [] },
      subscribe: { policy: 'Reject', topics: [] },
      ...filters,
    },
    certificate: { source: 'None', fingerprints: [], ...certificate },
  }
}

/** A token network; `token` is what a client shows in `X-Secret`. */
export function network({ token, ...overrides }: Partial<NetworkRecord> & { token: string }): NetworkRecord {
  return {
    id: randomUUID(),
    name: 'rest',
    type: 'REST',
    topicPrefix: '',
    tokenSha256: createHash('sha256').update(token).digest('hex'),
    ...overrides,
  }
}

/** What is left out of a spec stands there as the API server would store it. */
const ROUTE_SPEC: Omit<RouteSpec, RouteSink> = {
  hubRef: { name: 'hub' },
  enabled: true,
  topic: '#',
  delivery: {
    maxAttempts: 10,
    backoff: { initial: '1s', maximum: '5m' },
    timeout: '30s',
    concurrency: 16,
    order: 'PerTopic',
    partitions: 4,
    buffer: { messages: 100_000, bytes: 268_435_456, overflow: 'DropOldest' },
  },
  deadLetter: { enabled: true, maxMessages: 10_000, maxAge: '168h' },
}

type RouteOverrides = Partial<Omit<RouteRecord, 'spec'>> & {
  spec?: Partial<Omit<RouteSpec, 'delivery' | 'deadLetter'>> & {
    delivery?: Partial<RouteSpec['delivery']>
    deadLetter?: Partial<RouteSpec['deadLetter']>
  }
}

/** A route that takes everything; to a destination that is not there, unless the test names one. */
export function route({
  spec: { delivery, deadLetter, ...spec } = {},
  ...overrides
}: RouteOverrides = {}): RouteRecord {
  const { topic = spec.topic ?? '#', enabled = spec.enabled ?? true } = overrides
  const destination = ROUTE_SINKS.find((name) => spec[name] !== undefined)
  const nowhere: RouteSpec['rest'] = {
    method: 'POST',
    url: 'http://127.0.0.1:9/',
    headers: [],
    publishReply: true,
  }
  return {
    id: randomUUID(),
    name: 'route',
    ...overrides,
    topic,
    enabled,
    spec: {
      ...ROUTE_SPEC,
      ...(destination === undefined ? { rest: nowhere } : {}),
      ...spec,
      topic,
      enabled,
      delivery: { ...ROUTE_SPEC.delivery, ...delivery },
      deadLetter: { ...ROUTE_SPEC.deadLetter, ...deadLetter },
    },
  }
}

export function hubState(parts: Partial<Omit<HubState, 'version'>> = {}): HubState {
  return { version: HUB_STATE_VERSION, hub: hub(), devices: [], networks: [], routes: [], ...parts }
}
