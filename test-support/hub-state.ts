import { createHash, randomUUID } from 'node:crypto'
import {
  type DeviceRecord,
  HUB_STATE_VERSION,
  type HubLimits,
  type HubRecord,
  type HubState,
  type NetworkRecord,
} from '../contract/hub-state.ts'

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

export function hubState(parts: Partial<Omit<HubState, 'version'>> = {}): HubState {
  return { version: HUB_STATE_VERSION, hub: hub(), devices: [], networks: [], routes: [], ...parts }
}
