/** A CA that the operator makes for a hub and keeps in a Secret. */
import type { Secret } from '../api/resources.ts'
import { createCa } from '../pki/certificate-authority.ts'
import { certificatesIn, facts } from '../pki/facts.ts'
import type { KeyAlgorithm } from '../pki/keys.ts'
import { type Pair, readPair } from '../pki/pair.ts'
import { PkiError } from '../pki/pki-error.ts'
import { type CertificateWithKey, newSerial } from '../pki/profile.ts'
import type { Desired } from '../runtime/apply.ts'
import type { EventText } from '../runtime/events.ts'
import { secretText } from '../watch/secret-reader.ts'
import { CA_RENEW_BEFORE_MS, type NextCa, type Succession, succession } from './ca-succession.ts'
import { EVENT_REASONS } from './event-reasons.ts'
import type { HubScope } from './hub-part.ts'
import { findOwnedSecret } from './owned-secret.ts'
import { pairOf } from './pairs.ts'
import { type Problem, ROTATION_ANNOTATION } from './tools.ts'

/** Long, because devices hold what it signs. */
const CA_DAYS = 3650
/** When the CA in `next.crt` was published. */
const NEXT_SINCE_ANNOTATION = 'iot.hublet.dev/next-since'

export interface ManagedCa {
  /** The one that signs. */
  pair: Pair
  next: NextCa | undefined
  /** The certificate that signs, the one that is going to, and those before it that have not ended. */
  bundlePem: string
  desired: Desired
  events: EventText[]
  /** ms since the epoch. */
  dueAt: number
  /** Value of the annotation that was last acted on. */
  handledRotation: string | undefined
}

export interface CaWish {
  secretName: string
  commonName: string
  keyAlgorithm: KeyAlgorithm
  /** ms for which a new CA is published before it signs. */
  leadMs: number
  /** Value of the annotation by which a person asks for a new CA. */
  rotation: string | undefined
  /** The one that was acted on, as the status says. */
  handledRotation: string | undefined
  build: (pair: CertificateWithKey, bundlePem: string, next: CertificateWithKey | undefined) => Desired
}

/** Made once. It gets a successor when it is about to end, when another kind of key or a new CA is asked for. */
export async function ensureManagedCa(
  { tools, hub, now, signal }: HubScope,
  wish: CaWish,
): Promise<{ ca: ManagedCa } | { problem: Problem }> {
  const { secret, problem } = await findOwnedSecret(tools, hub, wish.secretName, signal)
  if (problem !== undefined) return { problem }
  const found = secret === undefined ? undefined : pairOf(secret)
  const current = found === 'unreadable' ? undefined : found
  const next = secret && nextIn(secret)
  const handled = secret?.metadata.annotations?.[ROTATION_ANNOTATION] ?? wish.handledRotation
  const isAsked = wish.rotation !== undefined && secret !== undefined && wish.rotation !== handled
  const { leadMs, keyAlgorithm } = wish
  const step = succession({ current, next, keyAlgorithm, isAsked, leadMs, now })
  const make = () => makeCa(wish, now, tools.randomBytes)
  const after = await carriedOut(step, { current, next, make, now })
  const handledRotation = wish.rotation ?? handled
  const bundlePem = bundle(after, secret, now)
  return {
    ca: {
      ...after,
      bundlePem,
      desired: desiredSecret({ ...after, bundlePem, handledRotation }, wish, secret),
      events: eventsOf(step, wish, { isFirst: secret === undefined, now }),
      dueAt: after.next ? after.next.since + leadMs : after.pair.facts.notAfter - CA_RENEW_BEFORE_MS,
      handledRotation,
    },
  }
}

interface Authorities {
  pair: Pair
  next: NextCa | undefined
}

async function carriedOut(
  step: Succession,
  found: { current: Pair | undefined; next: NextCa | undefined; make: () => Promise<Pair>; now: number },
): Promise<Authorities> {
  const { current, next, make, now } = found
  if (step === 'Promote' && next !== undefined) return { pair: next.pair, next: undefined }
  if (step === 'Replace' || current === undefined) return { pair: await make(), next: undefined }
  if (step === 'Announce') return { pair: current, next: { pair: await make(), since: now } }
  return { pair: current, next }
}

function desiredSecret(
  { pair, next, bundlePem, handledRotation }: Authorities & Pick<ManagedCa, 'bundlePem' | 'handledRotation'>,
  wish: CaWish,
  secret: Secret | undefined,
): Desired {
  const desired = wish.build(pair, bundlePem, next?.pair)
  const annotations = {
    ...(handledRotation === undefined ? {} : { [ROTATION_ANNOTATION]: handledRotation }),
    ...(next === undefined ? {} : { [NEXT_SINCE_ANNOTATION]: new Date(next.since).toISOString() }),
  }
  if (Object.keys(annotations).length > 0) desired.object.metadata.annotations = annotations
  return { ...desired, known: secret ?? ('absent' as const) }
}

/** Undefined: there is none, or somebody edited it. */
function nextIn(secret: Secret): NextCa | undefined {
  const certificatePem = secretText(secret, 'next.crt')
  const privateKeyPem = secretText(secret, 'next.key')
  if (certificatePem === undefined || privateKeyPem === undefined) return undefined
  const since = Date.parse(secret.metadata.annotations?.[NEXT_SINCE_ANNOTATION] ?? '')
  try {
    const pair = readPair({ certificatePem, privateKeyPem }, 'data')
    return Number.isNaN(since) ? undefined : { pair, since }
  } catch (error) {
    if (error instanceof PkiError) return undefined
    throw error
  }
}

async function makeCa(wish: CaWish, now: number, randomBytes: (size: number) => Uint8Array): Promise<Pair> {
  const { commonName, keyAlgorithm } = wish
  const made = await createCa({
    commonName,
    keyAlgorithm,
    now,
    days: CA_DAYS,
    serial: newSerial(randomBytes),
  })
  return readPair(made, wish.secretName)
}

/** Who trusts the CA before must go on doing so while certificates of it are in use. */
function bundle({ pair, next }: Authorities, secret: Secret | undefined, now: number): string {
  const before = secret === undefined ? [] : certificatesIn(secretText(secret, 'ca.crt') ?? '')
  const coming = next === undefined ? [] : [next.pair.certificatePem]
  const valid = before.filter((pem) => isValid(pem, now))
  return [...new Set([pair.certificatePem, ...coming, ...valid])].join('')
}

function isValid(pem: string, now: number): boolean {
  try {
    return facts(pem).notAfter > now
  } catch {
    // Edited by somebody.
    return false
  }
}

function eventsOf(
  step: Succession,
  { commonName, leadMs }: CaWish,
  { isFirst, now }: { isFirst: boolean; now: number },
): EventText[] {
  if (step === 'Keep') return []
  const event = (type: 'Normal' | 'Warning', reason: string, note: string): EventText[] => [
    { type, reason, action: 'Issue', note },
  ]
  if (isFirst) return event('Normal', EVENT_REASONS.CACreated, `${commonName} was made`)
  if (step === 'Promote') return event('Normal', EVENT_REASONS.CAReplaced, `the new ${commonName} signs now`)
  if (step === 'Announce') {
    const from = new Date(now + leadMs).toISOString()
    const note = `a new ${commonName} is published, and signs from ${from} on`
    return event('Normal', EVENT_REASONS.CAAnnounced, note)
  }
  return event('Warning', EVENT_REASONS.CAReplaced, `a new ${commonName} takes the place of the one before`)
}
