import { createHash, randomBytes, X509Certificate } from 'node:crypto'
import { existsSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import type { UsedCertificate } from '../../contract/activity-digest.ts'
import { verifyPassword } from '../../contract/password-verifier.ts'
import { createCa } from '../../operator/pki/certificate-authority.ts'
import { isIssuedBy } from '../../operator/pki/pair.ts'
import { newSerial } from '../../operator/pki/profile.ts'
import { makeTempDir } from '../../test-support/temp-dir.ts'
import { formatProblem } from '../manifests/problem.ts'
import { type DataFolder, openDataFolder } from './data-folder.ts'
import { hubsOf } from './hub-manifests.ts'
import { type HubIdentity, IdentityStore } from './identity-store.ts'
import { deviceYaml, hubYaml, networkYaml, secretYaml, setOf } from './manifests.fixture.ts'
import { objectUid } from './uuid.ts'

const HOUR = 3_600_000
const DAY = 24 * HOUR
const UUID_V4 = /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/

const ownCa = await createCa({
  commonName: 'my CA',
  keyAlgorithm: 'ECDSA-P256',
  now: Date.now(),
  days: 400,
  serial: newSerial(randomBytes),
})

const open: DataFolder[] = []
afterEach(() => {
  for (const folder of open.splice(0)) folder.close()
})

/** A laptop whose clock the test moves; `restart` is a new process on the same folder. */
class Laptop {
  now = Date.now()
  /** What the broker has let in, by device id. */
  readonly used = new Map<string, UsedCertificate>()
  readonly path = join(makeTempDir('identities'), '.hublet')
  #folder = openDataFolder(this.path)
  #store = this.#newStore()

  constructor() {
    open.push(this.#folder)
  }

  restart(): void {
    this.#folder.close()
    this.#folder = openDataFolder(this.path)
    open.push(this.#folder)
    this.#store = this.#newStore()
  }

  async result(...documents: string[]) {
    const [manifests] = hubsOf(setOf(...documents))
    if (manifests === undefined) throw new Error('no hub')
    return await this.#store.ensure(manifests)
  }

  async identity(...documents: string[]): Promise<HubIdentity> {
    const result = await this.result(...documents)
    if (!result.valid) throw new Error(result.problems.map(formatProblem).join('\n'))
    return result.identity
  }

  read(...parts: string[]): string {
    return readFileSync(join(this.path, ...parts), 'utf8')
  }

  #newStore(): IdentityStore {
    const names = { dnsNames: ['localhost'], ipAddresses: ['127.0.0.1', '::1'] }
    const surroundings = { now: () => this.now, random: randomBytes, usedCertificates: () => this.used }
    return new IdentityStore(this.#folder, surroundings, names)
  }
}

const factsOf = (identity: HubIdentity, name = 'lamp') => identity.facts.devices.get(name)
const fingerprintsOf = (identity: HubIdentity, name = 'lamp') =>
  factsOf(identity, name)?.certificate?.fingerprints ?? []
const idOf = (identity: HubIdentity, name = 'lamp') => identity.facts.uids?.get(`Device/${name}`)
const fingerprintOf = (pem: string) =>
  new X509Certificate(pem).fingerprint256.replaceAll(':', '').toLowerCase()

describe('the first start', () => {
  it('makes two authorities that have nothing in common', async () => {
    const laptop = new Laptop()
    const { facts, server } = await laptop.identity(hubYaml(), deviceYaml('lamp'))
    const serverCa = new X509Certificate(laptop.read('garden', 'ca.crt'))
    const deviceCa = new X509Certificate(facts.deviceCACertificates[0] ?? '')
    expect(serverCa.subject).toBe('CN=garden server CA')
    expect(deviceCa.subject).toBe('CN=garden device CA')
    expect(serverCa.publicKey.equals(deviceCa.publicKey)).toBe(false)
    expect(isIssuedBy(server.certificateChain, serverCa.toString())).toBe(true)
    expect(isIssuedBy(laptop.read('garden', 'devices', 'lamp', 'tls.crt'), deviceCa.toString())).toBe(true)
  })

  it('tells the broker the fingerprint of the certificate on the disk', async () => {
    const laptop = new Laptop()
    const identity = await laptop.identity(hubYaml(), deviceYaml('lamp'))
    const pem = laptop.read('garden', 'devices', 'lamp', 'tls.crt')
    expect(fingerprintsOf(identity)).toEqual([fingerprintOf(pem)])
    expect(new X509Certificate(pem).subject).toBe('CN=lamp')
  })

  it('keeps keys and tokens to their owner', async () => {
    const laptop = new Laptop()
    await laptop.identity(hubYaml(), deviceYaml('lamp'), networkYaml('web'))
    const secret = [
      'pki/device-ca.key',
      'pki/server-ca.key',
      'pki/server.key',
      'devices/lamp/tls.key',
      'networks/web/token',
    ]
    for (const file of secret)
      expect([file, statSync(join(laptop.path, 'garden', file)).mode & 0o777]).toEqual([file, 0o600])
    expect(statSync(join(laptop.path, 'garden')).mode & 0o777).toBe(0o700)
  })

  it('gives random ids to devices, and uids by name to the rest', async () => {
    const identity = await new Laptop().identity(hubYaml(), deviceYaml('lamp'), networkYaml('web'))
    const other = await new Laptop().identity(hubYaml(), deviceYaml('lamp'), networkYaml('web'))
    expect(idOf(identity)).toMatch(UUID_V4)
    expect(idOf(identity)).not.toBe(idOf(other))
    expect(identity.facts.uids?.get('Hub/garden')).toBe(objectUid('default', 'Hub', 'garden'))
    expect(identity.facts.uids?.get('Network/web')).toBe(other.facts.uids?.get('Network/web'))
  })

  it('takes the id that the manifest sets', async () => {
    const id = '0c0ffee0-0000-4000-8000-000000000001'
    expect(idOf(await new Laptop().identity(hubYaml(), deviceYaml('lamp', `id: ${id}`)))).toBe(id)
  })

  it('names the device by spec.name in its certificate', async () => {
    const laptop = new Laptop()
    await laptop.identity(hubYaml(), deviceYaml('lamp', 'name: "Lamp, kitchen"'))
    const pem = laptop.read('garden', 'devices', 'lamp', 'tls.crt')
    expect(new X509Certificate(pem).toLegacyObject().subject).toEqual({ CN: 'Lamp, kitchen' })
  })

  it('serves the others when no certificate can hold the name of one', async () => {
    const laptop = new Laptop()
    const bad = deviceYaml('bad', 'name: "\\ud800"')
    const { diagnostics, facts } = await laptop.identity(hubYaml(), bad, deviceYaml('lamp'))
    expect(diagnostics).toEqual([
      expect.objectContaining({
        name: 'bad',
        message: expect.stringMatching(/^no certificate can be issued/),
      }),
    ])
    expect(facts.devices.get('lamp')?.certificate?.fingerprints).toHaveLength(1)
  })

  it('makes RSA keys where the manifests ask for them, authorities included', async () => {
    const laptop = new Laptop()
    await laptop.identity(
      hubYaml(
        '{ deviceCA: { managed: { keyAlgorithm: RSA-2048 } }, serverTLS: { managed: { keyAlgorithm: RSA-2048 } } }',
      ),
      deviceYaml('lamp', 'certificate: { managed: { keyAlgorithm: RSA-2048 } }'),
    )
    for (const file of ['ca.crt', 'pki/device-ca.crt', 'pki/server.crt', 'devices/lamp/tls.crt'])
      expect(new X509Certificate(laptop.read('garden', file)).publicKey.asymmetricKeyType).toBe('rsa')
  })

  it('puts the names of the manifest into the server certificate', async () => {
    const { server } = await new Laptop().identity(
      hubYaml('{ serverTLS: { managed: { dnsNames: [hub.lan], ipAddresses: [10.0.0.5] } } }'),
    )
    expect(new X509Certificate(server.certificateChain).subjectAltName?.split(', ')).toEqual([
      'DNS:hub.lan',
      'DNS:localhost',
      'IP Address:10.0.0.5',
      'IP Address:127.0.0.1',
      'IP Address:0:0:0:0:0:0:0:1',
    ])
  })

  it('says file, line and field of an address that is none', async () => {
    const result = await new Laptop().result(
      hubYaml('{ serverTLS: { managed: { ipAddresses: [10.0.0.5, 999.0.0.1] } } }'),
    )
    expect(result.valid ? [] : result.problems.map(formatProblem)).toEqual([
      'all.yaml:4: spec.serverTLS.managed.ipAddresses[1]: expected an IP address, got "999.0.0.1"',
    ])
  })

  it('gives hubs of one name in two namespaces folders of their own', async () => {
    const laptop = new Laptop()
    await laptop.identity(hubYaml('{}', 'garden', 'farm'))
    expect(existsSync(join(laptop.path, 'garden.farm', 'ca.crt'))).toBe(true)
  })
})

describe('a restart', () => {
  const all = [hubYaml(), deviceYaml('lamp'), networkYaml('web')]

  it('keeps everything', async () => {
    const laptop = new Laptop()
    const before = await laptop.identity(...all)
    laptop.restart()
    const after = await laptop.identity(...all)
    expect({ ...after.facts, now: 0 }).toEqual({ ...before.facts, now: 0 })
    expect(after.server).toEqual(before.server)
    expect(after.devices).toEqual(before.devices)
  })

  it('keeps the identity of a device whose manifest was away for a while', async () => {
    const laptop = new Laptop()
    const before = await laptop.identity(...all)
    await laptop.identity(hubYaml())
    laptop.restart()
    const after = await laptop.identity(...all)
    expect([idOf(after), fingerprintsOf(after)]).toEqual([idOf(before), fingerprintsOf(before)])
  })

  it('replaces a certificate whose key was lost, and no longer knows the old one', async () => {
    const laptop = new Laptop()
    const before = await laptop.identity(...all)
    rmSync(join(laptop.path, 'garden', 'devices', 'lamp', 'tls.key'))
    laptop.restart()
    const after = await laptop.identity(...all)
    expect(fingerprintsOf(after)).toHaveLength(1)
    expect(fingerprintsOf(after)).not.toEqual(fingerprintsOf(before))
  })

  it('stops at an identity file that cannot be read, instead of changing every id', async () => {
    const laptop = new Laptop()
    await laptop.identity(...all)
    writeFileSync(join(laptop.path, 'garden', 'identity.json'), '{"version":1,')
    laptop.restart()
    await expect(laptop.identity(...all)).rejects.toThrow(/identity\.json: expected the identities of a hub/)
  })

  it('tells who came first, so that a later device cannot take an identity over', async () => {
    const laptop = new Laptop()
    await laptop.identity(hubYaml(), deviceYaml('zebra', 'name: lamp'))
    laptop.now += DAY
    laptop.restart()
    const { devices } = await laptop.identity(
      hubYaml(),
      deviceYaml('zebra', 'name: lamp'),
      deviceYaml('ant', 'name: lamp'),
    )
    const created = new Map(devices.map(({ metadata }) => [metadata.name, metadata.creationTimestamp ?? '']))
    expect(Date.parse(created.get('ant') ?? '') - Date.parse(created.get('zebra') ?? '')).toBe(DAY)
  })

  it('survives names that every object has', async () => {
    const laptop = new Laptop()
    const before = await laptop.identity(hubYaml(), deviceYaml('constructor'), networkYaml('valueof'))
    laptop.restart()
    const after = await laptop.identity(hubYaml(), deviceYaml('constructor'), networkYaml('valueof'))
    expect(idOf(before, 'constructor')).toMatch(UUID_V4)
    expect(idOf(after, 'constructor')).toBe(idOf(before, 'constructor'))
  })
})

describe('renewal', () => {
  const short = deviceYaml('lamp', 'certificate: { managed: { duration: 30h, renewBefore: 10h } }')

  it('leaves a certificate alone until renewBefore, then accepts old and new until the old one ends', async () => {
    const laptop = new Laptop()
    const [first] = fingerprintsOf(await laptop.identity(hubYaml(), short))
    laptop.now += 19 * HOUR
    expect(fingerprintsOf(await laptop.identity(hubYaml(), short))).toEqual([first])
    laptop.now += 2 * HOUR
    const renewed = fingerprintsOf(await laptop.identity(hubYaml(), short))
    expect(renewed).toHaveLength(2)
    expect(renewed[1]).toBe(first)
    laptop.restart()
    expect(fingerprintsOf(await laptop.identity(hubYaml(), short))).toEqual(renewed)
    laptop.now += 10 * HOUR
    expect(fingerprintsOf(await laptop.identity(hubYaml(), short))).toEqual([renewed[0]])
  })

  it('rotates once for each value of the annotation, and accepts the old one for the overlap', async () => {
    const laptop = new Laptop()
    const lamp = (value: string) =>
      deviceYaml('lamp', 'certificate: { managed: { overlap: 2h } }').replace(
        'name: lamp,',
        `name: lamp, annotations: { iot.hublet.dev/rotate: "${value}" },`,
      )
    const [first] = fingerprintsOf(await laptop.identity(hubYaml(), lamp('1')))
    expect(fingerprintsOf(await laptop.identity(hubYaml(), lamp('1')))).toEqual([first])
    const rotated = fingerprintsOf(await laptop.identity(hubYaml(), lamp('2')))
    expect(rotated).toEqual([expect.not.stringMatching(first ?? ''), first])
    laptop.restart()
    laptop.now += HOUR
    expect(fingerprintsOf(await laptop.identity(hubYaml(), lamp('2')))).toEqual(rotated)
    laptop.now += HOUR
    expect(fingerprintsOf(await laptop.identity(hubYaml(), lamp('2')))).toEqual([rotated[0]])
  })

  it('accepts the old one no more once the new one was used, unless several clients share the device', async () => {
    for (const [isShared, left] of [
      [false, 1],
      [true, 2],
    ] as const) {
      const laptop = new Laptop()
      const fields = `allowMultipleConnections: ${isShared}, certificate: { managed: { duration: 30h } }`
      const lamp = deviceYaml('lamp', fields)
      await laptop.identity(hubYaml(), lamp)
      laptop.now += 25 * HOUR
      const renewed = await laptop.identity(hubYaml(), lamp)
      const [second = '', first = ''] = fingerprintsOf(renewed)
      const use = (fingerprint: string) =>
        laptop.used.set(idOf(renewed) ?? '', { fingerprint, notAfter: laptop.now + HOUR })
      use(first)
      expect(fingerprintsOf(await laptop.identity(hubYaml(), lamp))).toEqual([second, first])
      use(second)
      expect(fingerprintsOf(await laptop.identity(hubYaml(), lamp))).toHaveLength(left)
    }
  })

  it('renews the server certificate from the same authority', async () => {
    const laptop = new Laptop()
    const before = await laptop.identity(hubYaml())
    const ca = laptop.read('garden', 'ca.crt')
    laptop.now += 61 * DAY
    const after = await laptop.identity(hubYaml())
    expect(after.server).not.toEqual(before.server)
    expect(laptop.read('garden', 'ca.crt')).toBe(ca)
    expect(isIssuedBy(after.server.certificateChain, ca)).toBe(true)
  })

  it('issues no endless row of certificates that the end of the authority cuts', async () => {
    const laptop = new Laptop()
    const long = deviceYaml('lamp', 'certificate: { managed: { duration: 900000h } }')
    const before = fingerprintsOf(await laptop.identity(hubYaml(), long))
    laptop.now += DAY
    expect(fingerprintsOf(await laptop.identity(hubYaml(), long))).toEqual(before)
  })

  it('renews an authority with a year to go, and with it what it issued', async () => {
    const laptop = new Laptop()
    const before = await laptop.identity(hubYaml(), deviceYaml('lamp'))
    laptop.now += 3300 * DAY
    const after = await laptop.identity(hubYaml(), deviceYaml('lamp'))
    const pem = laptop.read('garden', 'devices', 'lamp', 'tls.crt')
    expect(after.facts.deviceCACertificates).not.toEqual(before.facts.deviceCACertificates)
    expect(isIssuedBy(pem, after.facts.deviceCACertificates[0] ?? '')).toBe(true)
  })
})

describe('revocation', () => {
  const revoked = deviceYaml('lamp', 'revoked: true')

  it('is for good: taken back, the device gets a new certificate and the old one stays refused', async () => {
    const laptop = new Laptop()
    const [old] = fingerprintsOf(await laptop.identity(hubYaml(), deviceYaml('lamp')))
    const during = factsOf(await laptop.identity(hubYaml(), revoked))
    expect(during?.revokedFingerprints?.map(({ fingerprint }) => fingerprint)).toEqual([old])
    laptop.restart()
    const after = await laptop.identity(hubYaml(), deviceYaml('lamp'))
    expect(fingerprintsOf(after)).toHaveLength(1)
    expect(fingerprintsOf(after)).not.toContain(old)
    expect(factsOf(after)?.revokedFingerprints?.map(({ fingerprint }) => fingerprint)).toEqual([old])
  })

  it('issues nothing to a device that is revoked from the start', async () => {
    const laptop = new Laptop()
    const identity = await laptop.identity(hubYaml(), revoked)
    expect(fingerprintsOf(identity)).toEqual([])
    expect(existsSync(join(laptop.path, 'garden', 'devices', 'lamp', 'tls.key'))).toBe(false)
  })

  it('is forgotten once the certificate has ended by itself', async () => {
    const laptop = new Laptop()
    await laptop.identity(hubYaml(), deviceYaml('lamp'))
    await laptop.identity(hubYaml(), revoked)
    laptop.now += 366 * DAY
    expect(factsOf(await laptop.identity(hubYaml(), revoked))?.revokedFingerprints).toEqual([])
  })
})

describe('certificates and authorities of the user', () => {
  const caSecret = secretYaml('my-ca', { 'tls.crt': ownCa.certificatePem, 'tls.key': ownCa.privateKeyPem })
  const hubWithCa = hubYaml('{ deviceCA: { secretRef: { name: my-ca } } }')

  it('issues from the CA of a Secret', async () => {
    const laptop = new Laptop()
    const { facts } = await laptop.identity(hubWithCa, deviceYaml('lamp'), caSecret)
    expect(facts.deviceCACertificates).toEqual([ownCa.certificatePem])
    expect(isIssuedBy(laptop.read('garden', 'devices', 'lamp', 'tls.crt'), ownCa.certificatePem)).toBe(true)
  })

  it.each([
    [
      'a Secret that is not there',
      [],
      'all.yaml:4: spec.deviceCA.secretRef: expected a Secret "my-ca" with key tls.crt in the folder, got none',
    ],
    [
      'a Secret without a certificate in it',
      [secretYaml('my-ca', { 'tls.crt': 'x', 'tls.key': 'y' })],
      'all.yaml:4: spec.deviceCA.secretRef[tls.crt]: expected a PEM certificate, got none',
    ],
  ])('says file, line and field of %s', async (_, secrets, expected) => {
    const result = await new Laptop().result(hubWithCa, ...secrets)
    expect(result.valid ? [] : result.problems.map(formatProblem)).toEqual([expected])
  })

  it('goes on trusting the CA before for the overlap, over a restart, and the next one ahead', async () => {
    const laptop = new Laptop()
    const makeCa = async (commonName: string) =>
      await createCa({
        commonName,
        keyAlgorithm: 'ECDSA-P256',
        now: laptop.now,
        days: 400,
        serial: newSerial(randomBytes),
      })
    const [second, third] = [await makeCa('second'), await makeCa('third')]
    const secret = (name: string, pair: typeof second) =>
      secretYaml(name, { 'tls.crt': pair.certificatePem, 'tls.key': pair.privateKeyPem })
    const hub = hubYaml('{ deviceCA: { secretRef: { name: my-ca }, next: { secretRef: { name: next } } } }')
    const trusted = async (pair: typeof second) => {
      const { facts } = await laptop.identity(hub, secret('my-ca', pair), secret('next', third))
      return facts.deviceCACertificates
    }
    expect(await trusted(ownCa)).toEqual([ownCa.certificatePem, third.certificatePem])
    const all = [ownCa, second, third].map(({ certificatePem }) => certificatePem)
    expect(await trusted(second)).toEqual(all)
    laptop.restart()
    laptop.now += 30 * DAY - HOUR
    expect(await trusted(second)).toEqual(all)
    laptop.now += 2 * HOUR
    expect(await trusted(second)).toEqual(all.slice(1))
  })

  it('refuses a certificate that is no CA', async () => {
    const laptop = new Laptop()
    await laptop.identity(hubYaml(), deviceYaml('lamp'))
    const leaf = secretYaml('my-ca', {
      'tls.crt': laptop.read('garden', 'devices', 'lamp', 'tls.crt'),
      'tls.key': laptop.read('garden', 'devices', 'lamp', 'tls.key'),
    })
    const result = await laptop.result(hubWithCa, leaf)
    expect(result.valid ? [] : result.problems.map(formatProblem)).toEqual([
      'all.yaml:4: spec.deviceCA.secretRef[tls.crt]: expected a CA certificate, got another kind',
    ])
  })

  it('serves the certificate of a Secret and hands its CA to the clients', async () => {
    const laptop = new Laptop()
    const secret = secretYaml('tls', {
      'tls.crt': ownCa.certificatePem,
      'tls.key': ownCa.privateKeyPem,
      'ca.crt': 'the CA',
    })
    const { server } = await laptop.identity(hubYaml('{ serverTLS: { secretRef: { name: tls } } }'), secret)
    expect(server).toEqual({ certificateChain: ownCa.certificatePem, privateKey: ownCa.privateKeyPem })
    expect(laptop.read('garden', 'ca.crt')).toBe('the CA')
  })

  it.each([
    ['in the manifest', `pem: ${JSON.stringify(ownCa.certificatePem)}`, []],
    ['in a Secret', 'secretRef: { name: cert }', [secretYaml('cert', { 'tls.crt': ownCa.certificatePem })]],
    [
      'in a ConfigMap',
      'secretRef: { name: cert, key: lamp.pem }',
      [secretYaml('cert', { 'lamp.pem': ownCa.certificatePem }, 'ConfigMap')],
    ],
  ])('knows a provided certificate %s by its fingerprint', async (_, provided, secrets) => {
    const laptop = new Laptop()
    const identity = await laptop.identity(
      hubYaml(),
      deviceYaml('lamp', `certificate: { provided: { ${provided} } }`),
      ...secrets,
    )
    expect(factsOf(identity)?.certificate).toMatchObject({
      source: 'Provided',
      fingerprints: [fingerprintOf(ownCa.certificatePem)],
    })
    expect(existsSync(join(laptop.path, 'garden', 'devices', 'lamp', 'tls.key'))).toBe(false)
  })

  it('tells a provided certificate that cannot be had, and closes the device to it', async () => {
    const provided = 'certificate: { provided: { secretRef: { name: none } } }'
    const identity = await new Laptop().identity(hubYaml(), deviceYaml('lamp', provided))
    expect(identity.diagnostics).toEqual([
      expect.objectContaining({
        name: 'lamp',
        reason: 'SecretNotFound',
        message: 'key tls.crt of Secret none is not there',
      }),
    ])
    expect(factsOf(identity)?.certificate).toBeUndefined()
  })
})

describe('passwords', () => {
  const withPassword = deviceYaml('lamp', 'allowInsecure: true, passwordSecretRef: { name: pw }')
  const secret = (password: string) => secretYaml('pw', { password })

  it('become a verifier that stays the same while the password does', async () => {
    const laptop = new Laptop()
    const first = factsOf(await laptop.identity(hubYaml(), withPassword, secret('swordfish')))
    expect(await verifyPassword(first?.passwordVerifier ?? '', Buffer.from('swordfish'))).toBe(true)
    laptop.restart()
    const second = factsOf(await laptop.identity(hubYaml(), withPassword, secret('swordfish')))
    expect(second?.passwordVerifier).toBe(first?.passwordVerifier)
    const third = factsOf(await laptop.identity(hubYaml(), withPassword, secret('hunter2')))
    expect(await verifyPassword(third?.passwordVerifier ?? '', Buffer.from('hunter2'))).toBe(true)
  })

  it('lie in a file of the owner for the printed commands, and leave with the reference', async () => {
    const laptop = new Laptop()
    await laptop.identity(hubYaml(), withPassword, secret('swordfish'))
    const file = join(laptop.path, 'garden', 'devices', 'lamp', 'password')
    expect(readFileSync(file, 'utf8')).toBe('swordfish')
    expect(statSync(file).mode & 0o777).toBe(0o600)
    await laptop.identity(hubYaml(), deviceYaml('lamp', 'allowInsecure: true'), secret('swordfish'))
    expect(existsSync(file)).toBe(false)
  })
})

describe('network tokens', () => {
  const sha256 = (text: string) => createHash('sha256').update(text).digest('hex')
  const tokenOf = (identity: HubIdentity) => identity.facts.networks.get('web')?.tokenSha256
  const withSecret = networkYaml('web', 'tokenSecretRef: { name: web-token }')
  const own = 'a-token-of-my-own-0001'

  it('are long and random, and in the file they are printed from', async () => {
    const laptop = new Laptop()
    const identity = await laptop.identity(hubYaml(), networkYaml('web'))
    const token = laptop.read('garden', 'networks', 'web', 'token')
    expect(token).toMatch(/^[\w-]{43}$/)
    expect(tokenOf(identity)).toBe(sha256(token))
  })

  it('come from a Secret where the manifest says so, without the line feed at the end', async () => {
    const laptop = new Laptop()
    const identity = await laptop.identity(
      hubYaml(),
      withSecret,
      secretYaml('web-token', { token: `${own}\n` }),
    )
    expect(tokenOf(identity)).toBe(sha256(own))
    expect(laptop.read('garden', 'networks', 'web', 'token')).toBe(own)
  })

  it('of a Secret are not kept when the manifest no longer names it', async () => {
    const laptop = new Laptop()
    await laptop.identity(hubYaml(), withSecret, secretYaml('web-token', { token: own }))
    expect(tokenOf(await laptop.identity(hubYaml(), networkYaml('web')))).not.toBe(sha256(own))
  })

  it.each([
    ['too short to be safe', 'short', 'TokenTooWeak'],
    ['no header can hold', `${own}ä`, 'TokenTooWeak'],
  ])('that are %s close the network', async (_, token, reason) => {
    const laptop = new Laptop()
    const identity = await laptop.identity(hubYaml(), withSecret, secretYaml('web-token', { token }))
    expect(tokenOf(identity)).toBeUndefined()
    expect(identity.diagnostics).toEqual([expect.objectContaining({ name: 'web', reason, excluded: true })])
    expect(JSON.stringify(identity.diagnostics)).not.toContain(token)
  })
})
