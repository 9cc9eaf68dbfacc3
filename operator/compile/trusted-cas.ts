/** Which CAs of the user's a hub trusts while one takes the place of another. Pure. */

/** A CA whose place another one has taken, trusted until devices have had time for other certificates. */
export interface RetiredCa {
  /** PEM. */
  certificate: string
  /** RFC 3339: when another took its place. */
  since: string
  /** RFC 3339: when its trust, or the certificate itself, ends. */
  until: string
}

/** PEM, one text each. */
export interface TrustedCas {
  /** As the spec names it: the hub's CA first, then what completes its chain or stands beside it. */
  current: string[]
  /** Trusted ahead of its time; nobody is issued anything by it. */
  next: string[]
  retired: RetiredCa[]
}

/** Of a hub that says nothing about it; the default of the field. */
export const DEFAULT_CA_OVERLAP = '720h'

/** Of the 16 certificates whose fingerprints a status can hold. */
const MAX_RETIRED = 8

export interface RolloverInput {
  /** What was trusted until now; undefined: no CA of the user's. */
  before: TrustedCas | undefined
  wanted: Pick<TrustedCas, 'current' | 'next'>
  /** ms for which a CA stays trusted once another has taken its place. */
  overlapMs: number
  /** ms since the epoch. */
  now: number
  /** ms since the epoch at which a certificate ends. */
  endOf: (certificate: string) => number
}

/**
 * Once another certificate comes first, the one that did is retired, and with it what is gone at the same time. What
 * only stood beside the first one is trusted no more when it is taken out: somebody did that by hand.
 */
export function rollOver({ before, wanted, overlapMs, now, endOf }: RolloverInput): TrustedCas {
  const { current, next } = wanted
  const first = current[0]
  const replaced =
    before === undefined || before.current[0] === first
      ? []
      : before.current.filter((pem, index) => index === 0 || ![...current, ...next].includes(pem))
  const known = (before?.retired ?? []).map(({ certificate, since }) => ({ certificate, since }))
  const fresh = replaced.map((certificate) => ({ certificate, since: time(now) }))
  // Those that were replaced last come first, so that they stay when there are too many.
  const retired = [...fresh, ...known.filter(({ certificate }) => !replaced.includes(certificate))]
    .filter(({ certificate }) => certificate !== first)
    .map(({ certificate, since }) => ({
      certificate,
      since,
      until: time(Math.min(Date.parse(since) + overlapMs, endOf(certificate))),
    }))
  return { current, next, retired: living(retired, now).slice(0, MAX_RETIRED) }
}

export const living = (retired: readonly RetiredCa[], now: number): RetiredCa[] =>
  retired.filter(({ until }) => Date.parse(until) > now)

/**
 * All of them, for brokers. The order tells them which one issues certificates of devices and which one only
 * completes a chain, so a retired CA comes before what may have issued its successor.
 */
export function allTrusted({ current, next, retired }: TrustedCas): string[] {
  return [...new Set([...retired.map(({ certificate }) => certificate), ...current, ...next])]
}

/** Whole seconds, as the API has them; never ahead, so that no overlap ends at once. */
const time = (ms: number): string =>
  new Date(Math.floor(ms / 1000) * 1000).toISOString().replace('.000Z', 'Z')
