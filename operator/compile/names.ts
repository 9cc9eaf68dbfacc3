/** The only place where names and labels of objects that we make are formed (design §8.10, §8.11). */
import { createHash } from 'node:crypto'

export const HUB_LABEL = 'iot.hublet.dev/hub'
export const MANAGED_BY_LABEL = 'app.kubernetes.io/managed-by'
/** Everything that we make carries it: copies of the cluster are kept by it. */
export const MANAGED_BY = 'hublet'

/** What an object of ours is part of. */
export type Component = 'broker' | 'redis' | 'certificate' | 'credentials' | 'network'

/** Labels that select the pods of a hub. They never change: selectors of workloads cannot. */
export const podSelector = (hub: string, component: 'broker' | 'redis'): Record<string, string> => ({
  'app.kubernetes.io/name': 'hublet',
  'app.kubernetes.io/component': component,
  [HUB_LABEL]: hub,
})

/** Labels of every object that we make for a hub. */
export const labelsOf = (hub: string, component: Component): Record<string, string> => ({
  'app.kubernetes.io/name': 'hublet',
  'app.kubernetes.io/component': component,
  'app.kubernetes.io/part-of': 'hublet',
  [MANAGED_BY_LABEL]: MANAGED_BY,
  [HUB_LABEL]: hub,
})

/** Objects of a hub, by what they are for. */
export const hubServerTlsSecret = (hub: string) => `hub-${hub}-server-tls`
export const hubDeviceCaSecret = (hub: string) => `hub-${hub}-device-ca`
export const hubRoutesSecret = (hub: string) => `hub-${hub}-routes`
export const hubRedisSecret = (hub: string) => `hub-${hub}-redis`
/** The ConfigMap with the public server CA. */
export const hubServerCaConfigMap = (hub: string) => `hub-${hub}-server-ca`

/** The ConfigMap with the names of devices that were deleted. */
export const hubDeletedDevicesConfigMap = (hub: string) => `hub-${hub}-deleted-devices`

/** The ConfigMap with the fingerprints of revoked certificates whose Device is gone. */
export const hubRevokedConfigMap = (hub: string) => `hub-${hub}-revoked`

/** The ConfigMap with the revocation list of the managed device CA. */
export const hubCrlConfigMap = (hub: string) => `hub-${hub}-crl`

/** Deployment, Service, ServiceAccount, PodDisruptionBudget and NetworkPolicy of the broker pods. */
export const hubWorkload = (hub: string) => `hub-${hub}`
/** Audience that a token of a ServiceAccount must have for this hub: the name of its Service. */
export const tokenAudience = (hub: string, namespace: string) => `${hubWorkload(hub)}.${namespace}.svc`
/** The Secret with certificate and key of the server CA; no pod has it. */
export const hubServerCaSecret = (hub: string) => `hub-${hub}-server-ca`
/** The Secret that says which device CA is in force; no pod has it. */
export const hubDeviceTrustSecret = (hub: string) => `hub-${hub}-device-trust`
/** StatefulSet, Service, ServiceAccount and NetworkPolicy of a managed Redis. */
export const hubRedisWorkload = (hub: string) => `hub-${hub}-redis`
/** The Secret with configuration, password and certificate of a managed Redis; only that Redis has it. */
export const hubRedisServerSecret = (hub: string) => `hub-${hub}-redis-server`

/** `device` is the object's name, not the device's. */
export const deviceTlsSecret = (device: string) => `device-${device}-tls`
/** The Secret with the token for the first certificate of a device that asks for it itself. */
export const deviceEnrolmentSecret = (device: string) => `device-${device}-enrolment`
export const deviceVerifierSecret = (device: string) => `device-${device}-verifier`
export const networkTokenSecret = (network: string) => `network-${network}-token`

const SERVICE_NAME_MAX_LENGTH = 63

/** Service or route of a network: its name where that can be one, else a readable part of it and a hash. */
export function networkService(network: string): string {
  const name = `network-${network}`
  if (name.length <= SERVICE_NAME_MAX_LENGTH && !name.includes('.')) return name
  return `network-${slugWithHash(network, 'network')}`
}

/** Leaves room for the hash within the 63 characters of a label value. */
const SLUG_MAX_LENGTH = 46

/**
 * Name of the Device object of an auto-provisioned device: a readable part, and 8 hex digits of the SHA-256 of
 * the whole common name, so that two names that look alike as a slug stay apart.
 */
export const provisionedDeviceName = (commonName: string) => slugWithHash(commonName, 'device')

function slugWithHash(text: string, fallback: string): string {
  const slug = text
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .slice(0, SLUG_MAX_LENGTH)
    .replace(/^-+|-+$/g, '')
  const hash = createHash('sha256').update(text).digest('hex').slice(0, 8)
  return `${slug === '' ? fallback : slug}-${hash}`
}
