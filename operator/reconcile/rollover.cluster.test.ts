import { X509Certificate } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { type MadeCertificate, makeCertificate, makeCrl, openssl } from '../../test-support/openssl.ts'
import { runProgram } from '../../test-support/run-program.ts'
import { makeTempDir } from '../../test-support/temp-dir.ts'
import { CONFIG_MAPS, DEVICES, HUBS, type Hub, SECRETS, type Secret } from '../api/resources.ts'
import { Stage, textOf, untilCondition, untilReady } from '../operator.fixture.ts'
import { certificatesIn, fingerprint } from '../pki/facts.ts'
import type { KubeObject } from '../runtime/resource.ts'

// One CA after another, with nobody locked out between them.

let stage: Stage

beforeEach(async () => {
  stage = await Stage.create('rollover')
  stage.start()
})
afterEach(() => stage.close())

const waiting = { timeout: 60_000, interval: 50 }
const post = (spec: object = {}) => stage.space.post(HUBS, 'home', { spec })
const get = () => stage.space.get<Hub>(HUBS, 'home')
const ready = () => untilReady(stage.space, HUBS, ['home'])
const device = (name: string, spec: object = {}) =>
  stage.space.post(DEVICES, name, { spec: { hubRef: { name: 'home' }, ...spec } })
const secret = (name: string) => stage.space.get<Secret>(SECRETS, name)

describe('a device CA', () => {
  it('of ours is replaced once for each value of the annotation, and its devices keep both certificates', async () => {
    await post()
    await device('lamp')
    await ready()
    await untilReady(stage.space, DEVICES, ['lamp'])
    const caOf = async () => textOf(await secret('hub-home-device-ca'), 'tls.crt')
    const [first, before] = [await caOf(), (await stage.state('home')).devices['lamp']?.certificate]
    await stage.space.merge(HUBS, 'home', {
      metadata: { annotations: { 'iot.hublet.dev/rotate-device-ca': '1' } },
    })
    await vi.waitFor(
      async () => expect((await get()).status?.deviceCA).toMatchObject({ handledRotation: '1' }),
      waiting,
    )
    const second = await caOf()
    expect(second).not.toBe(first)
    await vi.waitFor(async () => {
      const { hub, devices } = await stage.state('home')
      expect(hub?.deviceTrust.caCertificates).toEqual([second, first])
      expect(devices['lamp']?.certificate.fingerprints).toHaveLength(2)
      expect(devices['lamp']?.certificate.fingerprints).toEqual(
        expect.arrayContaining(before?.fingerprints ?? ['none']),
      )
      const leaf = new X509Certificate(textOf(await secret('device-lamp-tls'), 'tls.crt'))
      expect(leaf.verify(new X509Certificate(second).publicKey)).toBe(true)
    }, waiting)
    await ready()
    expect(await caOf()).toBe(second)
  })
})

/** As cert-manager 1.x writes the Secret of a Certificate. */
const certManagerSecret = (name: string, { certPem, keyPem }: MadeCertificate, caPem: string) => {
  const base64 = (text: string) => Buffer.from(text).toString('base64')
  return {
    metadata: {
      labels: { 'controller.cert-manager.io/fao': 'true' },
      annotations: {
        'cert-manager.io/alt-names': '',
        'cert-manager.io/certificate-name': name,
        'cert-manager.io/common-name': 'hub CA',
        'cert-manager.io/ip-sans': '',
        'cert-manager.io/issuer-group': 'cert-manager.io',
        'cert-manager.io/issuer-kind': 'Issuer',
        'cert-manager.io/issuer-name': 'issuer',
        'cert-manager.io/uri-sans': '',
      },
    },
    type: 'kubernetes.io/tls',
    data: { 'tls.crt': base64(certPem), 'tls.key': base64(keyPem), 'ca.crt': base64(caPem) },
  }
}

describe('a device CA of the user', () => {
  const authority = (commonName: string, issuer?: MadeCertificate) =>
    makeCertificate({ commonName, authority: true, ...(issuer ? { issuer } : {}) })
  const edit = (deviceCA: object) => stage.space.merge(HUBS, 'home', { spec: { deviceCA } })
  const trusted = async () => (await stage.state('home')).hub?.deviceTrust.caCertificates
  const untilTrusted = (...cas: MadeCertificate[]) =>
    vi.waitFor(async () => expect(await trusted()).toEqual(cas.map(({ certPem }) => certPem)), waiting)
  const status = async () => (await get()).status?.deviceCA
  const untilCertifiedBy = (ca: MadeCertificate) =>
    vi.waitFor(async () => {
      const leaf = new X509Certificate(textOf(await secret('device-lamp-tls'), 'tls.crt'))
      expect(leaf.verify(new X509Certificate(ca.certPem).publicKey)).toBe(true)
    }, waiting)

  it('that cert-manager makes anew is retired: trusted for the overlap while devices get other certificates', async () => {
    const root = await authority('root')
    const [first, second] = await Promise.all([authority('hub CA', root), authority('hub CA', root)])
    await stage.space.post(SECRETS, 'ca', certManagerSecret('ca', first, root.certPem))
    await post({ deviceCA: { secretRef: { name: 'ca' } } })
    await device('lamp')
    await ready()
    await untilReady(stage.space, DEVICES, ['lamp'])
    expect(await trusted()).toEqual([first.certPem, root.certPem])
    await untilCertifiedBy(first)
    const replaced = Date.now()
    await stage.space.merge(SECRETS, 'ca', certManagerSecret('ca', second, root.certPem))
    await untilTrusted(first, second, root)
    await untilCertifiedBy(second)
    const { fingerprints, retired } = await vi.waitFor(async () => {
      const found = await status()
      expect(found?.retired).toHaveLength(1)
      return found!
    }, waiting)
    expect(fingerprints).toEqual([second, root, first].map(({ fingerprint: one }) => one))
    // Certificates made by openssl here end after a day, before the 720 h of the default do.
    expect(retired?.[0]?.fingerprint).toBe(first.fingerprint)
    const until = Date.parse(retired?.[0]?.until ?? '')
    expect(until).toBe(Date.parse(new X509Certificate(first.certPem).validTo))
    // A thief may have it: no overlap.
    await edit({ overlap: '0s' })
    await untilTrusted(second, root)
    await vi.waitFor(async () => expect(await status()).not.toHaveProperty('retired'), waiting)
    expect(until).toBeGreaterThan(replaced)
    const events = await stage.space.list({
      apiVersion: 'events.k8s.io/v1',
      kind: 'Event',
      plural: 'events',
      namespaced: true,
    })
    expect(events).toContainEqual(expect.objectContaining({ reason: 'CAReplaced', action: 'Trust' }))
  })

  it('that is named as the next one is trusted ahead and issues nothing until it is the hub’s', async () => {
    const [first, second] = await Promise.all([authority('one'), authority('two')])
    await stage.space.post(SECRETS, 'ca-1', certManagerSecret('ca-1', first, first.certPem))
    await post({ deviceCA: { secretRef: { name: 'ca-1' }, next: { secretRef: { name: 'ca-2' } } } })
    await device('lamp')
    const { message } = await untilCondition(stage.space, HUBS, 'home', {
      type: 'Reconciling',
      reason: 'SecretNotFound',
    })
    expect(message).toBe('spec.deviceCA.next.secretRef: there is no Secret ca-2')
    await stage.space.post(SECRETS, 'ca-2', certManagerSecret('ca-2', second, second.certPem))
    await ready()
    await untilReady(stage.space, DEVICES, ['lamp'])
    expect(await trusted()).toEqual([first.certPem, second.certPem])
    expect(await status()).toMatchObject({
      fingerprints: [first.fingerprint, second.fingerprint],
      next: { fingerprint: second.fingerprint },
    })
    await untilCertifiedBy(first)
    await edit({ secretRef: { name: 'ca-2' }, next: null, overlap: '5s' })
    await untilTrusted(first, second)
    await untilCertifiedBy(second)
    // By the clock alone, and nobody edits anything.
    await untilTrusted(second)
    await vi.waitFor(
      async () =>
        expect(await status()).toEqual({ fingerprints: [second.fingerprint], notAfter: expect.any(String) }),
      waiting,
    )
    await ready()
  })

  it('without its key is replaced by a challenge of the new one, and a wrong challenge changes nothing', async () => {
    const [first, second] = await Promise.all([authority('one'), authority('two')])
    const commonName = `home.${stage.space.name}`
    const challenge = async (issuer: MadeCertificate) =>
      (await makeCertificate({ commonName, issuer })).certPem
    const provided = async (ca: MadeCertificate, by = ca) => ({
      provided: { certificate: ca.certPem, challengeCertificate: await challenge(by) },
    })
    await post({ deviceCA: await provided(first) })
    await ready()
    const before = [await trusted(), await status()]
    await edit(await provided(second, first))
    await untilCondition(stage.space, HUBS, 'home', { type: 'Stalled', reason: 'ChallengeFailed' })
    expect([await trusted(), await status()]).toEqual(before)
    await edit(await provided(second))
    await untilTrusted(first, second)
    await ready()
    expect(await status()).toMatchObject({ retired: [{ fingerprint: first.fingerprint }] })
  })
})

describe('the revocation list of our device CA', () => {
  it('says to others what is revoked, also of devices that are gone, and openssl agrees', async () => {
    await post()
    for (const name of ['lamp', 'pump']) await device(name)
    await ready()
    await untilReady(stage.space, DEVICES, ['lamp', 'pump'])
    const folder = makeTempDir('crl')
    const file = (name: string, text: string) => {
      writeFileSync(join(folder, name), text)
      return join(folder, name)
    }
    const ca = file('ca.crt', textOf(await secret('hub-home-device-ca'), 'tls.crt'))
    const [lamp, pump] = await Promise.all(
      ['lamp', 'pump'].map(async (name) =>
        file(`${name}.crt`, textOf(await secret(`device-${name}-tls`), 'tls.crt')),
      ),
    )
    const crl = async () => {
      const found = await stage.space.get<KubeObject & { data: Record<string, string> }>(
        CONFIG_MAPS,
        'hub-home-crl',
      )
      return file('ca.crl', found.data['ca.crl'] ?? '')
    }
    const check = async (certificate: string) => {
      const args = ['verify', '-crl_check', '-CAfile', ca, '-CRLfile', await crl(), certificate]
      const { code, stderr } = await runProgram('openssl', args)
      return code === 0 ? 'good' : stderr
    }
    expect(await check(lamp!)).toBe('good')
    await stage.space.merge(DEVICES, 'lamp', { spec: { revoked: true } })
    const untilRevoked = () =>
      vi.waitFor(async () => expect(await check(lamp!)).toContain('certificate revoked'), waiting)
    await untilRevoked()
    expect(await check(pump!)).toBe('good')
    const { stdout, stderr } = await openssl(['crl', '-in', await crl(), '-CAfile', ca, '-noout', '-text'])
    expect(stderr).toContain('verify OK')
    expect(stdout.toString()).toMatch(/X509v3 CRL Number:[\s\S]*Privilege Withdrawn/)
    const before = await textOfCrl(await crl())
    await stage.space.delete(DEVICES, 'lamp')
    await vi.waitFor(
      async () => expect((await stage.state('home')).hub?.revokedFingerprints).toHaveLength(1),
      waiting,
    )
    await ready()
    expect(await check(lamp!)).toContain('certificate revoked')
    // Nothing new was revoked, so nobody has to fetch another one.
    expect(await textOfCrl(await crl())).toBe(before)
    // Another CA, another list.
    await stage.space.merge(HUBS, 'home', {
      metadata: { annotations: { 'iot.hublet.dev/rotate-device-ca': '1' } },
    })
    await vi.waitFor(async () => {
      const next = file('next.crt', textOf(await secret('hub-home-device-ca'), 'tls.crt'))
      const { stderr: verdict } = await openssl(['crl', '-in', await crl(), '-CAfile', next, '-noout'])
      expect(verdict).toContain('verify OK')
      expect(readFileSync(next, 'utf8')).not.toBe(readFileSync(ca, 'utf8'))
    }, waiting)
  })
  const textOfCrl = async (path: string) => readFileSync(path, 'utf8')
})

describe('a revocation list of the user’s CA', () => {
  it('reaches the brokers; one that is stale is told of, and one that is older or wrong changes nothing', async () => {
    const ca = await makeCertificate({ commonName: 'hub CA', authority: true })
    const [lamp, pump] = await Promise.all(
      ['lamp', 'pump'].map((commonName) => makeCertificate({ commonName, issuer: ca })),
    )
    const crl = (revoked: MadeCertificate[], hours: number, nextUpdate = new Date(Date.now() + 86_400_000)) =>
      makeCrl({ issuer: ca, revoked, thisUpdate: new Date(Date.now() + hours * 3_600_000), nextUpdate })
    const put = async (text: string) => {
      const data = { 'ca.crl': Buffer.from(text).toString('base64') }
      await stage.space.merge(SECRETS, 'crl', { data })
    }
    const lists = async () => (await stage.state('home')).hub?.deviceTrust.revocationLists
    const untilListed = (...revoked: MadeCertificate[]) =>
      vi.waitFor(async () => {
        const [list] = (await lists()) ?? []
        expect(list?.issuers).toEqual([ca.fingerprint])
        expect(list?.serials).toHaveLength(revoked.length)
      }, waiting)
    await stage.space.post(SECRETS, 'ca', certManagerSecret('ca', ca, ca.certPem))
    await stage.space.post(SECRETS, 'crl', { stringData: { 'ca.crl': await crl([lamp!], -2) } })
    const deviceCA = { secretRef: { name: 'ca' }, crl: { secretRef: { name: 'crl' } } }
    await post({ deviceCA })
    await untilListed(lamp!)
    await ready()
    expect((await get()).status?.deviceCA?.crl).toEqual({ revoked: 1, nextUpdate: expect.any(String) })

    // The file of last month, from a repository.
    await put(await crl([], -4))
    const { message } = await untilCondition(stage.space, HUBS, 'home', {
      type: 'Stalled',
      reason: 'CRLInvalid',
    })
    expect(message).toMatch(/^spec.deviceCA.crl.secretRef: expected a list not older than the one in force/)
    await put('nothing')
    await vi.waitFor(async () => {
      const { conditions = [] } = (await get()).status ?? {}
      expect(conditions.map((one) => one.message).join()).toContain('expected a CRL (PEM or DER)')
    }, waiting)
    expect((await lists())?.[0]?.serials).toHaveLength(1)

    const soon = new Date(Math.ceil(Date.now() / 1000) * 1000 + 2_000)
    await put(await crl([lamp!, pump!], -1, soon))
    await untilListed(lamp!, pump!)
    const stale = await untilCondition(stage.space, HUBS, 'home', { type: 'CRLStale', status: 'True' })
    expect(stale.message).toContain('what was revoked since is let in (whenStale: Accept)')
    await untilCondition(stage.space, HUBS, 'home', { type: 'Ready', status: 'True' })
    expect((await lists())?.[0]).not.toHaveProperty('refuseAfter')
    await stage.space.merge(HUBS, 'home', { spec: { deviceCA: { crl: { whenStale: 'Refuse' } } } })
    await vi.waitFor(
      async () => expect((await lists())?.[0]?.refuseAfter).toBe(soon.toISOString().replace('.000Z', 'Z')),
      waiting,
    )
  })
})

describe('a server CA', () => {
  it('in a Secret of cert-manager, with its certificate, is presented as it is and handed to clients', async () => {
    const root = await makeCertificate({ commonName: 'root', authority: true })
    const issuer = await makeCertificate({ commonName: 'issuer', authority: true, issuer: root })
    const leaf = async () => {
      const subjectAltName = 'DNS:hub.example.com'
      const made = await makeCertificate({ commonName: 'hub.example.com', issuer, subjectAltName })
      // The chain without its root, as cert-manager has it.
      return { ...made, certPem: made.certPem + issuer.certPem }
    }
    const [first, second] = [await leaf(), await leaf()]
    await stage.space.post(SECRETS, 'mine', certManagerSecret('mine', first, root.certPem))
    await post({ serverTLS: { secretRef: { name: 'mine' } } })
    await ready()
    const presented = async () => textOf(await secret('hub-home-server-tls'), 'tls.crt')
    expect(await presented()).toBe(first.certPem)
    const { data } = await stage.space.get<KubeObject & { data: object }>(CONFIG_MAPS, 'hub-home-server-ca')
    expect(data).toEqual({ 'ca.crt': root.certPem })
    await stage.space.merge(SECRETS, 'mine', certManagerSecret('mine', second, root.certPem))
    await vi.waitFor(async () => expect(await presented()).toBe(second.certPem), waiting)
    await ready()
    // Nothing of ours was written into it.
    const { metadata, type } = await secret('mine')
    expect(type).toBe('kubernetes.io/tls')
    expect(metadata.ownerReferences).toBeUndefined()
    expect(metadata.labels).toEqual({ 'controller.cert-manager.io/fao': 'true' })
  })

  it('published by a hub is known to clients for the lead time before it signs', async () => {
    await post({ serverTLS: { managed: { caLeadTime: '4s' } } })
    await device('lamp')
    await ready()
    await untilReady(stage.space, DEVICES, ['lamp'])
    const server = async () => new X509Certificate(textOf(await secret('hub-home-server-tls'), 'tls.crt'))
    const published = async () => {
      const { data } = await stage.space.get<KubeObject & { data: Record<string, string> }>(
        CONFIG_MAPS,
        'hub-home-server-ca',
      )
      return certificatesIn(data['ca.crt'] ?? '')
    }
    const [first = ''] = await published()
    const before = await server()
    await stage.space.merge(HUBS, 'home', {
      metadata: { annotations: { 'iot.hublet.dev/rotate-server-ca': '1' } },
    })
    const { next } = await vi.waitFor(async () => {
      const { serverCA } = (await get()).status ?? {}
      expect(serverCA).toMatchObject({ handledRotation: '1', next: { from: expect.any(String) } })
      return serverCA!
    }, waiting)
    // Everybody can have it, devices in their Secrets, and the listeners still show what the old one signed.
    const both = await published()
    expect(both.map((pem) => fingerprint(pem))).toEqual([fingerprint(first), next?.fingerprint])
    await vi.waitFor(
      async () => expect(textOf(await secret('device-lamp-tls'), 'ca.crt')).toBe(both.join('')),
      waiting,
    )
    const [, second = ''] = both
    await vi.waitFor(
      async () => expect((await server()).verify(new X509Certificate(second).publicKey)).toBe(true),
      waiting,
    )
    expect(Date.now()).toBeGreaterThanOrEqual(Date.parse(next?.from ?? ''))
    expect(before.verify(new X509Certificate(first).publicKey)).toBe(true)
    // The old one stays published for clients and pods that are behind.
    expect((await published()).map((pem) => fingerprint(pem)).sort()).toEqual(
      both.map((pem) => fingerprint(pem)).sort(),
    )
    await ready()
    // Said once the listeners have the certificate.
    await vi.waitFor(async () => expect((await get()).status?.serverCA).not.toHaveProperty('next'), waiting)
  })
})
