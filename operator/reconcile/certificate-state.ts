/** The certificates of one device over time, as its status keeps them. Pure: every function gives the next state. */
import type { DeviceStatus } from '../../crds/device-status.ts'
import type { CertificateFacts } from '../pki/facts.ts'
import type { KeyAlgorithm } from '../pki/keys.ts'

/** A certificate and until when it counts. */
export interface Ending {
  /** SHA-256 of the DER, 64 lower-case hex digits. */
  fingerprint: string
  /** RFC 3339. */
  until: string
  /** Hex, lower case; of one that we have issued. */
  serial?: string
}

export interface CertificateState {
  /** The newest one that was accepted. */
  current?: Ending
  /** Replaced ones that are accepted until their overlap ends. */
  retiring: readonly Ending[]
  /** Refused until they end, whatever the spec says. */
  revoked: readonly Ending[]
  /** The one that a broker has let in last. */
  used?: Ending
  /** The token that was used last, and for what: both SHA-256 in hex. */
  enrolment?: { token: string; request: string }
  /** Value of the rotate annotation that was last acted on. */
  handledRotation?: string
}

/** What the CRD allows. */
const MAX_RETIRING = 15
const MAX_REVOKED = 64

/** As of `now`: what has ended is left out. */
export function certificateState(status: DeviceStatus | undefined, now: number): CertificateState {
  const { certificate, revokedFingerprints = [] } = status ?? {}
  const retiring = (certificate?.retiring ?? []).filter((ending) => isAhead(ending, now))
  const replaced = new Set((certificate?.retiring ?? []).map(({ fingerprint }) => fingerprint))
  const newest = certificate?.fingerprints?.find((fingerprint) => !replaced.has(fingerprint))
  const { notAfter, serial, used, enrolment, handledRotation } = certificate ?? {}
  return {
    ...(newest !== undefined && notAfter !== undefined
      ? { current: { fingerprint: newest, until: notAfter, ...(serial === undefined ? {} : { serial }) } }
      : {}),
    retiring,
    revoked: revokedFingerprints.filter((ending) => isAhead(ending, now)),
    ...(used !== undefined && isAhead(used, now) ? { used } : {}),
    ...(enrolment === undefined ? {} : { enrolment }),
    ...(handledRotation === undefined ? {} : { handledRotation }),
  }
}

/**
 * `facts` are those of the certificate that is to be accepted from now on. The one before stays good for the
 * overlap, because the program that has it may still run; not so when it was revoked.
 *
 * @param overlap ms; undefined: until the replaced certificate ends by itself
 */
export function withCurrent(
  state: CertificateState,
  facts: IssuedFacts,
  { now, overlap }: { now: number; overlap: number | undefined },
): CertificateState {
  const current = endingOf(facts)
  const before = state.current
  const replaced =
    before === undefined || before.fingerprint === current.fingerprint || isRevoked(state, before.fingerprint)
      ? []
      : [{ ...before, until: earlier(before.until, now, overlap) }]
  const retiring = unique([...state.retiring, ...replaced])
    .filter(({ fingerprint }) => fingerprint !== current.fingerprint)
    .filter((ending) => isAhead(ending, now))
  return { ...state, current, retiring: latest(retiring, MAX_RETIRING) }
}

/**
 * The new certificate was used, so it has arrived: those before it are refused from now on. Where a device may be
 * connected several times, some of its clients may still have the one before: then the overlap decides.
 */
export function withPromoted(state: CertificateState, { isShared }: { isShared: boolean }): CertificateState {
  const isUsed = state.current !== undefined && state.used?.fingerprint === state.current.fingerprint
  return isUsed && !isShared ? { ...state, retiring: [] } : state
}

/** Everything that the device could show, or has shown, is refused from now on, until it ends by itself. */
export function withRevoked(
  state: CertificateState,
  found: IssuedFacts | undefined,
  now: number,
): CertificateState {
  const shown = [
    ...state.retiring,
    ...(state.current ? [state.current] : []),
    ...(state.used ? [state.used] : []),
    ...(found ? [endingOf(found)] : []),
  ]
  const revoked = unique([...state.revoked, ...shown]).filter((ending) => isAhead(ending, now))
  const { current: _, ...rest } = state
  return { ...rest, retiring: [], revoked: latest(revoked, MAX_REVOKED) }
}

export const isRevoked = ({ revoked }: CertificateState, fingerprint: string): boolean =>
  revoked.some((ending) => ending.fingerprint === fingerprint)

/** When the state changes by itself next, ms since the epoch; undefined: it does not. */
export function nextEnd({ retiring, revoked }: CertificateState): number | undefined {
  const ends = [...retiring, ...revoked].map(({ until }) => Date.parse(until))
  return ends.length === 0 ? undefined : Math.min(...ends)
}

export interface CertificateWish {
  /** Name of the device. */
  commonName: string
  keyAlgorithm: KeyAlgorithm
  /** ms */
  duration: number
  /** ms before its end at which a certificate is replaced. */
  renewBefore: number
  /** ms for which the replaced certificate is still accepted. */
  overlap: number
  /** Value of the rotate annotation. */
  rotation?: string
}

/** A certificate with its key, as it was found. */
export interface FoundCertificate {
  facts: CertificateFacts
  keyAlgorithm: KeyAlgorithm | undefined
  isFromCa: boolean
  /** What its Secret says about the rotation it was made by. */
  rotation?: string
}

/** Why a certificate is issued. Stable: they stand in Events. */
export type IssueReason =
  | 'Missing'
  | 'Unreadable'
  | 'NameChanged'
  | 'KeyAlgorithmChanged'
  | 'IssuerChanged'
  | 'Revoked'
  | 'DurationShortened'
  | 'RenewalDue'
  | 'RotationAsked'

export interface IssueInput {
  wish: CertificateWish
  found: FoundCertificate | 'unreadable' | undefined
  state: CertificateState
  /** End of the CA, ms since the epoch: it cuts what it issues. */
  caNotAfter: number
  now: number
}

/** Undefined: what is there will do. */
export function issueReason({ wish, found, state, caNotAfter, now }: IssueInput): IssueReason | undefined {
  if (found === undefined) return 'Missing'
  if (found === 'unreadable') return 'Unreadable'
  const { facts } = found
  if (facts.commonName !== wish.commonName) return 'NameChanged'
  if (found.keyAlgorithm !== wish.keyAlgorithm) return 'KeyAlgorithmChanged'
  if (!found.isFromCa) return 'IssuerChanged'
  if (isRevoked(state, facts.fingerprint)) return 'Revoked'
  if (facts.notAfter > now + wish.duration) return 'DurationShortened'
  if (isRotationAsked(wish.rotation, found, state)) return 'RotationAsked'
  // Near the end of its CA a successor would end no later, and be due at once again.
  const nextEnds = Math.min(now + wish.duration, caNotAfter)
  const isDue = facts.notAfter - now <= wish.renewBefore && nextEnds >= facts.notAfter + 1000
  return isDue ? 'RenewalDue' : undefined
}

/**
 * The Secret says it in the same write as the certificate, so a crash before the status is written rotates nothing
 * twice; the status says it when the Secret is gone.
 */
function isRotationAsked(
  asked: string | undefined,
  found: FoundCertificate,
  { handledRotation }: CertificateState,
): boolean {
  return asked !== undefined && asked !== found.rotation && asked !== handledRotation
}

const SPREAD = 0.1

/**
 * `renewBefore`, up to a tenth longer by the uid: certificates that were issued together must not all be renewed
 * together. Never so long that a fresh one is due.
 */
export function spreadRenewal(renewBefore: number, duration: number, uid: string): number {
  const share = Number.parseInt(uid.replaceAll('-', '').slice(0, 8), 16) / 2 ** 32
  const spread = renewBefore * (1 + SPREAD * (Number.isNaN(share) ? 0 : share))
  return Math.min(spread, (renewBefore + duration) / 2)
}

/** `serial` only of what we have issued. */
type IssuedFacts = Pick<CertificateFacts, 'fingerprint' | 'notAfter'> & { serial?: string }

const endingOf = ({ fingerprint, notAfter, serial }: IssuedFacts): Ending => ({
  fingerprint,
  until: time(notAfter),
  ...(serial === undefined ? {} : { serial }),
})

const isAhead = ({ until }: Ending, now: number): boolean => Date.parse(until) > now

/** Whole seconds, as X.509 and the API have them. */
const time = (ms: number): string => new Date(ms).toISOString().replace(/\.\d{3}Z$/, 'Z')

const earlier = (until: string, now: number, overlap: number | undefined): string =>
  overlap === undefined ? until : time(Math.min(Date.parse(until), now + overlap))

/** Of two entries of one certificate the later end counts. */
function unique(endings: readonly Ending[]): Ending[] {
  const ends = new Map<string, Ending>()
  for (const ending of endings) {
    const known = ends.get(ending.fingerprint)
    if (known === undefined || Date.parse(known.until) < Date.parse(ending.until))
      ends.set(ending.fingerprint, { ...known, ...ending })
    else ends.set(ending.fingerprint, { ...ending, ...known })
  }
  return [...ends.values()].sort((a, b) => (a.fingerprint < b.fingerprint ? -1 : 1))
}

/** No more than the API takes: those that end first are let go. */
const latest = (endings: readonly Ending[], limit: number): readonly Ending[] =>
  endings.length <= limit
    ? endings
    : endings.toSorted((a, b) => Date.parse(b.until) - Date.parse(a.until)).slice(0, limit)
