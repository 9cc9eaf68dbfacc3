import type { UsedCertificate } from '../../contract/activity-digest.ts'
import { createCa } from '../../operator/pki/certificate-authority.ts'
import { needsRenewal } from '../../operator/pki/facts.ts'
import { issueDeviceCertificate, issueServerCertificate } from '../../operator/pki/issue.ts'
import type { KeyAlgorithm } from '../../operator/pki/keys.ts'
import { isIssuedBy, isValidFor, type Pair, readPair } from '../../operator/pki/pair.ts'
import { type CertificateWithKey, newSerial } from '../../operator/pki/profile.ts'
import type { DataFolder } from './data-folder.ts'

const DAY_MS = 86_400_000
/** Nobody is there to hand out another CA of a laptop, so it lasts; it is renewed with a year to go. */
const CA_DAYS = 3650
const CA_RENEW_BEFORE_MS = 365 * DAY_MS
const SERVER_DURATION_MS = 90 * DAY_MS

/** Clock and randomness, passed in so that tests can move through the years. */
export interface Surroundings {
  /** ms since the epoch. */
  now: () => number
  random: (size: number) => Uint8Array
  /** The certificates that the broker of a hub has let devices in by last, by device id. */
  usedCertificates?: (hubKey: string) => ReadonlyMap<string, UsedCertificate>
}

export interface DeviceCertificateWish {
  commonName: string
  keyAlgorithm: KeyAlgorithm
  /** ms */
  duration: number
  /** ms */
  renewBefore: number
  /** Somebody wants another one, whatever there is. */
  isRotationAsked: boolean
  /** Of a certificate that may not be used again; it is replaced. */
  isRevoked: (fingerprint: string) => boolean
}

/** The certificates in the data folder: made once, kept, replaced when they no longer fit or are about to end. */
export class CertificateFiles {
  readonly #folder: DataFolder
  readonly #surroundings: Surroundings
  /** A folder of 10,000 devices is looked at once and not at every change. */
  readonly #known = new Map<string, Pair>()
  /** Fingerprint of a certificate → that of the CA which was seen to have signed it. */
  readonly #issuers = new Map<string, string>()

  constructor(folder: DataFolder, surroundings: Surroundings) {
    this.#folder = folder
    this.#surroundings = surroundings
  }

  /** The pair in `<base>.crt` and `<base>.key`; undefined: none that is whole. */
  find(base: string): Pair | undefined {
    const known = this.#known.get(base)
    if (known !== undefined) return known
    const certificatePem = this.#folder.read(`${base}.crt`)
    const privateKeyPem = this.#folder.read(`${base}.key`)
    if (certificatePem === undefined || privateKeyPem === undefined) return undefined
    try {
      const pair = readPair({ certificatePem, privateKeyPem }, base)
      this.#known.set(base, pair)
      return pair
    } catch {
      // Half written before a crash, or edited by hand: what comes next replaces it.
      return undefined
    }
  }

  /** A CA of our own. */
  async authority(base: string, commonName: string, keyAlgorithm: KeyAlgorithm): Promise<Pair> {
    const { now, random } = this.#surroundings
    const found = this.find(base)
    const isKept =
      found?.keyAlgorithm === keyAlgorithm && !needsRenewal(found.facts, CA_RENEW_BEFORE_MS, now())
    if (isKept) return found
    const serial = newSerial(random)
    const made = await createCa({ commonName, keyAlgorithm, now: now(), days: CA_DAYS, serial })
    return this.#save(base, made, true)
  }

  /** The certificate of the listeners. */
  async server(
    base: string,
    ca: Pair,
    wish: { dnsNames: readonly string[]; ipAddresses: readonly string[]; keyAlgorithm: KeyAlgorithm },
  ): Promise<Pair> {
    const { now, random } = this.#surroundings
    const found = this.find(base)
    const isKept =
      found?.keyAlgorithm === wish.keyAlgorithm &&
      !needsRenewal(found.facts, SERVER_DURATION_MS / 3, now()) &&
      this.#isIssuedBy(found, ca) &&
      isValidFor(found.certificatePem, wish)
    if (isKept) return found
    const request = { ca, ...wish, duration: SERVER_DURATION_MS, now: now(), serial: newSerial(random) }
    return this.#save(base, await issueServerCertificate(request))
  }

  /** A device's certificate; `previous` is the one that it takes the place of. */
  async device(
    base: string,
    ca: Pair,
    wish: DeviceCertificateWish,
  ): Promise<{ current: Pair; previous?: Pair }> {
    const { now, random } = this.#surroundings
    const found = this.find(base)
    if (found !== undefined && this.#fits(found, ca, wish)) return { current: found }
    const { commonName, keyAlgorithm, duration } = wish
    const serial = newSerial(random)
    const request = { ca, commonName, keyAlgorithm, duration, now: now(), serial }
    const current = this.#save(base, await issueDeviceCertificate(request))
    return found === undefined ? { current } : { current, previous: found }
  }

  #fits(found: Pair, ca: Pair, wish: DeviceCertificateWish): boolean {
    const now = this.#surroundings.now()
    const { facts } = found
    // A CA that ends soon cuts what it issues: a successor that ends no later would be issued for ever.
    const nextEnd = Math.min(now + wish.duration, ca.facts.notAfter)
    const isDue = needsRenewal(facts, wish.renewBefore, now) && nextEnd >= facts.notAfter + 1000
    return (
      !isDue &&
      !wish.isRotationAsked &&
      facts.commonName === wish.commonName &&
      found.keyAlgorithm === wish.keyAlgorithm &&
      facts.notAfter <= now + wish.duration &&
      !wish.isRevoked(facts.fingerprint) &&
      this.#isIssuedBy(found, ca)
    )
  }

  #isIssuedBy(pair: Pair, ca: Pair): boolean {
    if (this.#issuers.get(pair.facts.fingerprint) === ca.facts.fingerprint) return true
    if (!isIssuedBy(pair.certificatePem, ca.certificatePem)) return false
    this.#issuers.set(pair.facts.fingerprint, ca.facts.fingerprint)
    return true
  }

  /** Key first: a certificate without its key is noticed, a key without its certificate is just unused. */
  #save(base: string, made: CertificateWithKey, isDurable = false): Pair {
    this.#folder.write(`${base}.key`, made.privateKeyPem, { isDurable })
    this.#folder.write(`${base}.crt`, made.certificatePem, { isDurable, isPublic: true })
    const pair = readPair(made, base)
    this.#known.set(base, pair)
    return pair
  }
}
