/**
 * What a broker tells of its devices every half minute, for a status page: the hash `status:devices`, device id →
 * entry. It expires, so that a broker that is gone leaves no device connected.
 */
export interface DeviceDigest {
  connections: number
  /** ms since the epoch. */
  lastActivityAt: number
}

/** How often a broker reports. */
export const DIGEST_EVERY_MS = 30_000
/** A digest that was not renewed for so long says nothing any more. */
export const DIGEST_TTL_SECONDS = 120

export function encodeDigest({ connections, lastActivityAt }: DeviceDigest): string {
  return `${connections} ${lastActivityAt}`
}

/** undefined: not one of ours. */
export function decodeDigest(text: string): DeviceDigest | undefined {
  const [, connections, lastActivityAt] = /^(\d{1,9}) (\d{1,15})$/.exec(text) ?? []
  if (connections === undefined || lastActivityAt === undefined) return undefined
  return { connections: Number(connections), lastActivityAt: Number(lastActivityAt) }
}
