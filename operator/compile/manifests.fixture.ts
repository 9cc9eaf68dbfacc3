/** Objects for tests, by the same door as a user's: a manifest that `validate` lets through. */
import type { Device } from '../../crds/device.ts'
import type { Hub } from '../../crds/hub.ts'
import { API_VERSION, type ObjectMeta } from '../../crds/meta.ts'
import type { Network } from '../../crds/network.ts'
import type { Route } from '../../crds/route.ts'
import { validate } from '../../crds/validate.ts'
import type { CertificateFacts, DeviceFacts, HubFacts } from './facts.ts'

type Spec = Record<string, unknown>

function make<T>(kind: string, metadata: Partial<ObjectMeta> & { name: string }, spec: Spec): T {
  const result = validate({ apiVersion: API_VERSION, kind, metadata, spec })
  if (!result.valid) throw new Error(JSON.stringify(result.errors))
  return result.value as T
}

/** A uid that is the same on every run and tells what it belongs to. */
export const uidFor = (text: string) =>
  `00000000-0000-4000-8000-${Buffer.from(text).toString('hex').padStart(12, '0').slice(-12)}`

export const HUB_UID = uidFor('hub')

export const makeHub = (spec: Spec = {}) =>
  make<Hub>('Hub', { name: 'home', namespace: 'farm', uid: HUB_UID }, spec)

export const makeDevice = (name: string, spec: Spec = {}, metadata: Partial<ObjectMeta> = {}) =>
  make<Device>(
    'Device',
    { name, namespace: 'farm', uid: uidFor(name), creationTimestamp: '2026-01-01T00:00:00Z', ...metadata },
    { hubRef: { name: 'home' }, ...spec },
  )

export const makeNetwork = (name: string, spec: Spec, metadata: Partial<ObjectMeta> = {}) =>
  make<Network>(
    'Network',
    { name, namespace: 'farm', uid: uidFor(name), ...metadata },
    {
      hubRef: { name: 'home' },
      ...spec,
    },
  )

export const makeRoute = (name: string, spec: Spec, metadata: Partial<ObjectMeta> = {}) =>
  make<Route>(
    'Route',
    { name, namespace: 'farm', uid: uidFor(name), ...metadata },
    {
      hubRef: { name: 'home' },
      rest: { url: 'https://sink.example.com' },
      ...spec,
    },
  )

export const NOW = Date.parse('2026-06-01T00:00:00Z')

export const FINGERPRINT = 'a'.repeat(64)
export const OTHER_FINGERPRINT = 'b'.repeat(64)

export const managedCertificate = (...fingerprints: string[]): CertificateFacts => ({
  source: 'Managed',
  fingerprints,
})

interface FactsOptions extends Partial<Omit<HubFacts, 'devices' | 'networks'>> {
  devices?: Record<string, DeviceFacts>
  tokens?: Record<string, string>
}

export function makeFacts({ devices = {}, tokens = {}, ...rest }: FactsOptions = {}): HubFacts {
  return {
    now: NOW,
    deviceCACertificates: [],
    devices: new Map(Object.entries(devices)),
    networks: new Map(Object.entries(tokens).map(([name, tokenSha256]) => [name, { tokenSha256 }])),
    ...rest,
  }
}
