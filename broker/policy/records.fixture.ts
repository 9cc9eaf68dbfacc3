import type { DeviceRecord, HubRecord } from '../../contract/hub-state.ts'
import type { LinkFacts, ListenerName, PeerCertificate } from './link.ts'

/** Builders of whole records for policy tests: a row names only what it is about. */

export const DEVICE_ID = '5a1e7c0e-3f5b-4d5c-9a56-0d8f2f6f0a11'
export const OTHER_ID = 'c0ffee00-0000-4000-8000-00000000beef'
export const FINGERPRINT = 'ab'.repeat(32)
export const OTHER_FINGERPRINT = 'cd'.repeat(32)
export const NOW = Date.UTC(2030, 0, 1)
const YEAR = 365 * 86_400_000

export function aDevice(over: Partial<DeviceRecord> = {}): DeviceRecord {
  return {
    id: DEVICE_ID,
    name: 'lamp',
    enabled: true,
    revoked: false,
    allowInsecure: false,
    allowMultipleConnections: false,
    filters: { publish: { policy: 'Reject', topics: [] }, subscribe: { policy: 'Reject', topics: [] } },
    templateErrors: [],
    certificate: { source: 'Managed', fingerprints: [FINGERPRINT] },
    revokedFingerprints: [],
    ...over,
  }
}

interface HubChanges extends Partial<Omit<HubRecord, 'limits' | 'messaging'>> {
  limits?: Partial<HubRecord['limits']>
  messaging?: Partial<HubRecord['messaging']>
}

export function aHub({ limits, messaging, ...over }: HubChanges = {}): HubRecord {
  return {
    uid: '0b8f2f6f-5a1e-4d5c-9a56-3f5b7c0e0a11',
    name: 'home',
    namespace: 'default',
    enabled: true,
    events: { enabled: true, topicPrefix: '$hub/events' },
    limits: { ...LIMITS, ...limits },
    messaging: {
      retained: true,
      maxQoS: 2,
      persistentSessions: true,
      sessionExpirySeconds: 86_400,
      ...messaging,
    },
    deviceTrust: { mode: 'Managed', caCertificates: ['CA 1'] },
    ...over,
  }
}

/** A hub with an own CA: devices are named by the common name of their certificate. */
export const ownCAHub = (over: HubChanges = {}): HubRecord =>
  aHub({ deviceTrust: { mode: 'HubCA', caCertificates: ['CA 1'] }, ...over })

const LIMITS: HubRecord['limits'] = {
  payloadBytes: 4 * 1024 * 1024,
  devices: 10_000,
  connections: 10_000,
  pendingConnections: 1000,
  connectsPerSecond: 0,
  messagesPerSecond: 0,
  queueMessages: 1000,
  queueBytes: 1_048_576,
  queueOverflow: 'DropOldest',
  inflight: 20,
  sessionsPerDevice: 8,
  subscriptionsPerSession: 100,
  retainedMessages: 1000,
  retainedBytes: 1_048_576,
  eventsPerSecond: 10,
}

export function aCertificate(over: Partial<PeerCertificate> = {}): PeerCertificate {
  return {
    fingerprint: FINGERPRINT,
    commonName: 'lamp',
    notBefore: NOW - YEAR,
    notAfter: NOW + YEAR,
    chainTrusted: true,
    ...over,
  }
}

export const MQTT_LISTENERS = ['mqtt', 'mqtts', 'ws', 'wss'] as const satisfies readonly ListenerName[]

export function aLink(listener: ListenerName, peerCertificate?: PeerCertificate): LinkFacts {
  const encrypted = listener === 'mqtts' || listener === 'wss'
  const facts = { listener, encrypted, remoteAddress: '127.0.0.1:50000' }
  return peerCertificate === undefined ? facts : { ...facts, peerCertificate }
}
