/** The only place where names and labels of objects that we make are formed (design §8.10, §8.11). */
import { createHash } from 'node:crypto'

export const HUB_LABEL = 'iot.hublet.dev/hub'

/** Objects of a hub, by what they are for. */
export const hubServerTlsSecret = (hub: string) => `hub-${hub}-server-tls`
export const hubDeviceCaSecret = (hub: string) => `hub-${hub}-device-ca`
export const hubRoutesSecret = (hub: string) => `hub-${hub}-routes`
export const hubRedisSecret = (hub: string) => `hub-${hub}-redis`
/** The ConfigMap with the public server CA. */
export const hubServerCaConfigMap = (hub: string) => `hub-${hub}-server-ca`

/** `device` is the object's name, not the device's. */
export const deviceTlsSecret = (device: string) => `device-${device}-tls`
export const networkTokenSecret = (network: string) => `network-${network}-token`

/** Leaves room for the hash within the 63 characters of a label value. */
const SLUG_MAX_LENGTH = 50

/**
 * Name of the Device object of an auto-provisioned device: a readable part, and 8 hex digits of the SHA-256 of
 * the whole common name, so that two names that look alike as a slug stay apart.
 */
export function provisionedDeviceName(commonName: string): string {
  const slug = commonName
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .slice(0, SLUG_MAX_LENGTH)
    .replace(/^-+|-+$/g, '')
  const hash = createHash('sha256').update(commonName).digest('hex').slice(0, 8)
  return `${slug === '' ? 'device' : slug}-${hash}`
}
