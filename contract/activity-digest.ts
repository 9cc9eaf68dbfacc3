/**
 * What a broker tells of its devices every half minute, for a status page: the hash `status:devices`, device id →
 * entry. It expires, so that a broker that is gone leaves no device connected.
 */
export interface DeviceDigest {
  connections: number
  /** ms since the epoch. */
  lastActivityAt: number
  /** The client certificate that was let in last; none: the device showed none since the broker began. */
  certificate?: UsedCertificate
}

/** A certificate that a broker has let in. By it the operator knows that a new one has arrived at its device. */
export interface UsedCertificate {
  /** SHA-256 of the DER, 64 lower-case hex digits. */
  fingerprint: string
  /** ms since the epoch, whole seconds. */
  notAfter: number
}

/** How often a broker reports. */
export const DIGEST_EVERY_MS = 30_000
/** A digest that was not renewed for so long says nothing any more. */
export const DIGEST_TTL_SECONDS = 120

export function encodeDigest({ connections, lastActivityAt, certificate }: DeviceDigest): string {
  const shown = certificate === undefined ? '' : ` ${certificate.fingerprint}:${certificate.notAfter}`
  return `${connections} ${lastActivityAt}${shown}`
}

/** undefined: not one of ours. */
export function decodeDigest(text: string): DeviceDigest | undefined {
  const parts = /^(\d{1,9}) (\d{1,15})(?: ([0-9a-f]{64}):(\d{1,15}))?$/.exec(text)
  const [, connections, lastActivityAt, fingerprint, notAfter] = parts ?? []
  if (connections === undefined || lastActivityAt === undefined) return undefined
  return {
    connections: Number(connections),
    lastActivityAt: Number(lastActivityAt),
    ...(fingerprint === undefined ? {} : { certificate: { fingerprint, notAfter: Number(notAfter) } }),
  }
}
