/** A CA that the operator makes for a hub and keeps in a Secret. */
import type { Secret } from '../api/resources.ts'
import { createCa } from '../pki/certificate-authority.ts'
import { facts, needsRenewal } from '../pki/facts.ts'
import type { KeyAlgorithm } from '../pki/keys.ts'
import { type Pair, readPair } from '../pki/pair.ts'
import { type CertificateWithKey, newSerial } from '../pki/profile.ts'
import type { Desired } from '../runtime/apply.ts'
import type { EventText } from '../runtime/events.ts'
import { secretText } from '../watch/secret-reader.ts'
import { EVENT_REASONS } from './event-reasons.ts'
import type { HubScope } from './hub-part.ts'
import { findOwnedSecret } from './owned-secret.ts'
import { certificatesIn, pairOf } from './pairs.ts'
import type { Problem } from './tools.ts'

const DAY_MS = 86_400_000
/** Long, because devices hold what it signs; renewed with a year to go. */
const CA_DAYS = 3650
export const CA_RENEW_BEFORE_MS = 365 * DAY_MS

export interface ManagedCa {
  pair: Pair
  /** The certificate that signs, and those before it that have not ended. */
  bundlePem: string
  desired: Desired
  events: EventText[]
  /** ms since the epoch. */
  dueAt: number
}

export interface CaWish {
  secretName: string
  commonName: string
  keyAlgorithm: KeyAlgorithm
  build: (pair: CertificateWithKey, bundlePem: string) => Desired
}

/** Made once. A new one is made when there is none, it is about to end, or another kind of key is asked for. */
export async function ensureManagedCa(
  { tools, hub, now, signal }: HubScope,
  wish: CaWish,
): Promise<{ ca: ManagedCa } | { problem: Problem }> {
  const { secret, problem } = await findOwnedSecret(tools, hub, wish.secretName, signal)
  if (problem !== undefined) return { problem }
  const found = secret === undefined ? undefined : pairOf(secret)
  const isKept =
    found !== undefined &&
    found !== 'unreadable' &&
    found.keyAlgorithm === wish.keyAlgorithm &&
    !needsRenewal(found.facts, CA_RENEW_BEFORE_MS, now)
  const pair = isKept ? found : await makeCa(wish, now, tools.randomBytes)
  const bundlePem = bundle(pair, secret, now)
  const desired = { ...wish.build(pair, bundlePem), known: secret ?? ('absent' as const) }
  return {
    ca: {
      pair,
      bundlePem,
      desired,
      events: isKept ? [] : [madeEvent(wish.commonName, secret !== undefined)],
      dueAt: pair.facts.notAfter - CA_RENEW_BEFORE_MS,
    },
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
function bundle(pair: Pair, secret: Secret | undefined, now: number): string {
  const before = secret === undefined ? [] : certificatesIn(secretText(secret, 'ca.crt') ?? '')
  const valid = before.filter((pem) => isValid(pem, now))
  return [...new Set([pair.certificatePem, ...valid])].join('')
}

function isValid(pem: string, now: number): boolean {
  try {
    return facts(pem).notAfter > now
  } catch {
    // Edited by somebody.
    return false
  }
}

const madeEvent = (commonName: string, isReplaced: boolean): EventText => ({
  type: isReplaced ? 'Warning' : 'Normal',
  reason: isReplaced ? EVENT_REASONS.CAReplaced : EVENT_REASONS.CACreated,
  action: 'Issue',
  note: isReplaced ? `a new ${commonName} takes the place of the one before` : `${commonName} was made`,
})
