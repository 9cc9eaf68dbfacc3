import 'reflect-metadata'
import { createHash, randomBytes, webcrypto } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Pkcs10CertificateRequestGenerator } from '@peculiar/x509'
import { afterEach, describe, expect, it } from 'vitest'
import type { UsedCertificate } from '../../contract/activity-digest.ts'
import type { EnrolmentAnswer } from '../../contract/asks.ts'
import { facts } from '../../operator/pki/facts.ts'
import { makeTempDir } from '../../test-support/temp-dir.ts'
import { type DataFolder, openDataFolder } from './data-folder.ts'
import { hubsOf } from './hub-manifests.ts'
import { type HubIdentity, IdentityStore } from './identity-store.ts'
import { deviceYaml, hubYaml, setOf } from './manifests.fixture.ts'

const HOUR = 3_600_000
const ECDSA = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' }
const GATE = 'certificate: { enrolled: { duration: 100h, overlap: 2h, tokenTTL: 24h } }'

const open: DataFolder[] = []
afterEach(() => {
  for (const folder of open.splice(0)) folder.close()
})

async function csrFor(name: string): Promise<string> {
  const keys = await webcrypto.subtle.generateKey(ECDSA, true, ['sign', 'verify'])
  const subject = [{ CN: [name] }]
  const made = await Pkcs10CertificateRequestGenerator.create({
    name: subject,
    keys,
    signingAlgorithm: ECDSA,
  })
  return Buffer.from(made.rawData).toString('base64')
}

/** A hub with one device `gate` on a laptop whose clock the test moves. */
class Laptop {
  now = Date.now()
  readonly path = join(makeTempDir('enrolled'), '.hublet')
  readonly used = new Map<string, UsedCertificate>()
  readonly #folder = openDataFolder(this.path)
  readonly #store: IdentityStore
  #identity: HubIdentity | undefined
  spec = GATE
  hub = '{}'

  constructor() {
    open.push(this.#folder)
    const surroundings = { now: () => this.now, random: randomBytes, usedCertificates: () => this.used }
    this.#store = new IdentityStore(this.#folder, surroundings, { dnsNames: ['localhost'], ipAddresses: [] })
  }

  #manifests() {
    const [manifests] = hubsOf(setOf(hubYaml(this.hub), deviceYaml('gate', this.spec)))
    if (manifests === undefined) throw new Error('no hub')
    return manifests
  }

  async look() {
    const result = await this.#store.ensure(this.#manifests())
    if (!result.valid) throw new Error('not valid')
    this.#identity = result.identity
    return result.identity.facts.devices.get('gate')
  }

  get id(): string {
    return this.#identity?.facts.uids?.get('Device/gate') ?? ''
  }

  get tokenFile(): string {
    return join(this.path, 'garden', 'devices', 'gate', 'token')
  }

  get token(): string {
    return readFileSync(this.tokenFile, 'utf8')
  }

  change(change: 'rotate' | 'revoke' | 'restore'): void {
    this.#store.change('garden', 'gate', change)
  }

  async enrol(csr: string, shown: { token?: string; fingerprint?: string }): Promise<EnrolmentAnswer> {
    const { token, fingerprint } = shown
    const { answer } = await this.#store.enrol(this.#manifests(), {
      deviceId: this.id,
      csr,
      ...(token === undefined ? {} : { tokenSha256: createHash('sha256').update(token).digest('hex') }),
      ...(fingerprint === undefined ? {} : { fingerprint }),
    })
    return answer
  }

  /** Fingerprint of what it gets; throws when refused. */
  async issued(shown: { token?: string; fingerprint?: string }): Promise<string> {
    const answer = await this.enrol(await csrFor('gate'), shown)
    if (!('certificate' in answer)) throw new Error(answer.refusal)
    return facts(answer.certificate).fingerprint
  }
}

describe('a device that asks for its certificate', () => {
  it('has a token in its file, of which the broker knows the digest and the end, and nothing else', async () => {
    const laptop = new Laptop()
    const known = await laptop.look()
    expect(known).toEqual({
      enrolment: {
        tokenSha256: createHash('sha256').update(laptop.token).digest('hex'),
        until: new Date(laptop.now + 24 * HOUR).toISOString(),
      },
      revokedFingerprints: [],
    })
    expect(await laptop.look()).toEqual(known)
    expect(readFileSync(join(laptop.path, 'garden', 'identity.json'), 'utf8')).not.toContain(laptop.token)
  })

  it('gets it once by a token, which goes when its time is up', async () => {
    const laptop = new Laptop()
    await laptop.look()
    const csr = await csrFor('gate')
    const { token } = laptop
    const first = await laptop.enrol(csr, { token })
    expect(first).toMatchObject({ certificate: expect.stringContaining('BEGIN CERTIFICATE') })
    expect(await laptop.enrol(await csrFor('gate'), { token })).toMatchObject({ refusal: 'TOKEN_REFUSED' })
    expect(await laptop.enrol(csr, { token })).toMatchObject({ certificate: expect.any(String) })
    laptop.now += 25 * HOUR
    const known = await laptop.look()
    expect(known).not.toHaveProperty('enrolment')
    expect(known?.certificate?.source).toBe('Managed')
    expect(existsSync(laptop.tokenFile)).toBe(false)
  })

  it('keeps a token that nobody has used in time, which is of no use until a person asks for another', async () => {
    const laptop = new Laptop()
    await laptop.look()
    const { token } = laptop
    laptop.now += 25 * HOUR
    expect(await laptop.look()).not.toHaveProperty('enrolment')
    expect(await laptop.enrol(await csrFor('gate'), { token })).toMatchObject({ refusal: 'TOKEN_REFUSED' })
    expect(laptop.token).toBe(token)
    laptop.change('rotate')
    await laptop.look()
    expect(laptop.token).not.toBe(token)
    const fresh = laptop.token
    await laptop.look()
    expect(laptop.token).toBe(fresh)
    await laptop.issued({ token: fresh })
    await laptop.look()
    expect(laptop.token).toBe(fresh)
  })

  it('renews it by the one that it has; the one before is accepted for the overlap, or until the new one was used', async () => {
    const laptop = new Laptop()
    await laptop.look()
    const first = await laptop.issued({ token: laptop.token })
    const second = await laptop.issued({ fingerprint: first })
    expect((await laptop.look())?.certificate?.fingerprints).toEqual([second, first])
    laptop.now += 2 * HOUR
    expect((await laptop.look())?.certificate?.fingerprints).toEqual([second])
    await expect(laptop.issued({ fingerprint: first })).rejects.toThrow('CERTIFICATE_REFUSED')
    const third = await laptop.issued({ fingerprint: second })
    await laptop.look()
    laptop.used.set(laptop.id, { fingerprint: third, notAfter: laptop.now + HOUR })
    expect((await laptop.look())?.certificate?.fingerprints).toEqual([third])
  })

  it('gets none while it is revoked, and needs a new token after', async () => {
    const laptop = new Laptop()
    await laptop.look()
    const { token } = laptop
    const first = await laptop.issued({ token })
    await laptop.look()
    laptop.change('revoke')
    expect((await laptop.look())?.revokedFingerprints?.map(({ fingerprint }) => fingerprint)).toEqual([first])
    for (const shown of [{ token }, { fingerprint: first }])
      await expect(laptop.issued(shown)).rejects.toThrow('NOT_ENROLLABLE')
    laptop.change('restore')
    await laptop.look()
    await expect(laptop.issued({ token })).rejects.toThrow('TOKEN_REFUSED')
    await expect(laptop.issued({ fingerprint: first })).rejects.toThrow('CERTIFICATE_REFUSED')
    const second = await laptop.issued({ token: laptop.token })
    const known = await laptop.look()
    expect(known?.certificate?.fingerprints).toEqual([second])
    expect(known?.revokedFingerprints?.map(({ fingerprint }) => fingerprint)).toEqual([first])
  })

  it.each([
    ['is disabled', `enabled: false, ${GATE}`],
    ['waits for its approval', `approved: false, ${GATE}`],
    ['has another kind of certificate', 'allowInsecure: true'],
  ])('gets none when it %s', async (_, spec) => {
    const laptop = new Laptop()
    await laptop.look()
    const { token } = laptop
    laptop.spec = spec
    await laptop.look()
    await expect(laptop.issued({ token })).rejects.toThrow('NOT_ENROLLABLE')
  })

  it('goes on from the certificate that was issued to it before, and leaves no token when it goes back', async () => {
    const laptop = new Laptop()
    laptop.spec = 'certificate: { managed: {} }'
    const [managed] = (await laptop.look())?.certificate?.fingerprints ?? []
    laptop.spec = GATE
    expect((await laptop.look())?.certificate?.fingerprints).toEqual([managed])
    expect(existsSync(laptop.tokenFile)).toBe(false)
    const next = await laptop.issued({ fingerprint: managed ?? '' })
    expect((await laptop.look())?.certificate?.fingerprints).toEqual([next, managed])
    laptop.change('rotate')
    await laptop.look()
    expect(existsSync(laptop.tokenFile)).toBe(true)
    laptop.spec = 'certificate: { managed: {} }'
    await laptop.look()
    expect(existsSync(laptop.tokenFile)).toBe(false)
  })
})
