import { X509Certificate } from 'node:crypto'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { encodeDigest } from '../../contract/activity-digest.ts'
import { verifyPassword } from '../../contract/password-verifier.ts'
import { deviceDigestKey } from '../../contract/redis-keys.ts'
import { DEVICES, type Device, HUBS, type Hub, SECRETS, type Secret } from '../api/resources.ts'
import { Stage, type TestOperator, textOf, untilCondition, untilReady } from '../operator.fixture.ts'
import { fingerprint } from '../pki/facts.ts'
import { issueDeviceCertificate } from '../pki/issue.ts'
import { HOUR, makeCa, serial } from '../pki/pki.fixture.ts'
import { findCondition } from '../runtime/conditions.ts'
import type { KubeObject } from '../runtime/resource.ts'

let stage: Stage
let first: TestOperator

beforeEach(async () => {
  stage = await Stage.create('device')
  first = stage.start()
  await stage.space.post(HUBS, 'home', { spec: {} })
})
afterEach(() => stage.close())

const waiting = { timeout: 60_000, interval: 50 }
const post = (name: string, spec: object = {}, metadata: object = {}) =>
  stage.space.post<Device & { metadata: { uid?: string } }>(DEVICES, name, {
    metadata,
    spec: { hubRef: { name: 'home' }, ...spec },
  })
const get = (name: string) => stage.space.get<Device>(DEVICES, name)
const ready = (...names: string[]) => untilReady(stage.space, DEVICES, names)
const secret = (name: string) => stage.space.get<Secret>(SECRETS, name)
const secretNames = async () => (await stage.space.list(SECRETS)).map(({ metadata }) => metadata.name)
const edit = (name: string, body: object) => stage.space.merge(DEVICES, name, body)

/** The device's record once it holds what is asked for. */
const record = (name: string, wanted: object) =>
  vi.waitFor(async () => {
    const found = (await stage.state('home')).devices[name]
    expect(found).toMatchObject(wanted)
    return found!
  }, waiting)

describe('a managed certificate', () => {
  it('is ready for a client: certificate, key and the CA of the server', async () => {
    await post('lamp', { name: 'Lamp №1' })
    await ready('lamp')
    const { type, data, metadata } = await secret('device-lamp-tls')
    expect(type).toBe('kubernetes.io/tls')
    expect(Object.keys(data ?? {}).sort()).toEqual(['ca.crt', 'tls.crt', 'tls.key'])
    const found = await secret('device-lamp-tls')
    const certificate = new X509Certificate(textOf(found, 'tls.crt'))
    const deviceCa = new X509Certificate(textOf(await secret('hub-home-device-ca'), 'tls.crt'))
    expect(certificate.subject).toBe('CN=Lamp №1')
    expect(certificate.verify(deviceCa.publicKey)).toBe(true)
    const server = new X509Certificate(textOf(await secret('hub-home-server-tls'), 'tls.crt'))
    const serverCa = new X509Certificate(textOf(found, 'ca.crt'))
    expect(server.verify(serverCa.publicKey)).toBe(true)
    expect(serverCa.fingerprint256).not.toBe(deviceCa.fingerprint256)
    expect(metadata.ownerReferences).toEqual([expect.objectContaining({ kind: 'Device', name: 'lamp' })])
    const { status } = await get('lamp')
    const print = fingerprint(textOf(found, 'tls.crt'))
    expect(status).toMatchObject({
      id: (await get('lamp')).metadata.uid,
      certificate: { source: 'Managed', fingerprints: [print], secretName: 'device-lamp-tls' },
    })
    await record('Lamp №1', { certificate: { source: 'Managed', fingerprints: [print] } })
  })

  it('is replaced in time, once for each rotation asked for, and the one before stays good for the overlap', async () => {
    const managed = { duration: '2h', renewBefore: '1h' }
    await post('lamp', { certificate: { managed } }, { annotations: { 'iot.hublet.dev/rotate': '1' } })
    await ready('lamp')
    const first = fingerprint(textOf(await secret('device-lamp-tls'), 'tls.crt'))
    // The first certificate is newer than the rotation that was asked for with it.
    expect((await get('lamp')).status?.certificate).toMatchObject({
      fingerprints: [first],
      handledRotation: '1',
    })
    await edit('lamp', { metadata: { annotations: { 'iot.hublet.dev/rotate': '2' } } })
    const { status } = await vi.waitFor(async () => {
      const device = await get('lamp')
      expect(device.status?.certificate).toMatchObject({ handledRotation: '2' })
      return device
    }, waiting)
    const second = fingerprint(textOf(await secret('device-lamp-tls'), 'tls.crt'))
    expect(second).not.toBe(first)
    expect(status?.certificate?.fingerprints).toEqual([second, first])
    const [retiring] = status?.certificate?.retiring ?? []
    expect(retiring?.fingerprint).toBe(first)
    // An hour of overlap, up to a tenth longer by the spread of renewals.
    const minutes = (Date.parse(retiring?.until ?? '') - Date.now()) / 60_000
    expect(minutes).toBeGreaterThan(55)
    expect(minutes).toBeLessThan(67)
    await record('lamp', { certificate: { fingerprints: [first, second].sort() } })
    await ready('lamp')
  })

  it('that replaced another ends the overlap once a broker has let it in', async () => {
    await first.stop()
    stage.start({ activityEveryMs: 100 })
    await post('lamp')
    await ready('lamp')
    const old = fingerprint(textOf(await secret('device-lamp-tls'), 'tls.crt'))
    await edit('lamp', { metadata: { annotations: { 'iot.hublet.dev/rotate': 'now' } } })
    const { id, certificate } = await vi.waitFor(async () => {
      const found = await record('lamp', {})
      expect(found.certificate.fingerprints).toHaveLength(2)
      return found
    }, waiting)
    const next = certificate.fingerprints.find((one) => one !== old) ?? ''
    const uid = (await stage.space.get<KubeObject>(HUBS, 'home')).metadata.uid ?? ''
    const broker = stage.redis.client()
    const notAfter = Math.floor(Date.now() / 1000) * 1000 + HOUR
    const report = (shown: string) =>
      broker.hset(
        deviceDigestKey(uid),
        id,
        encodeDigest({ connections: 1, lastActivityAt: 1, certificate: { fingerprint: shown, notAfter } }),
      )
    const used = (shown: string) =>
      vi.waitFor(
        async () => expect((await get('lamp')).status?.certificate?.used?.fingerprint).toBe(shown),
        waiting,
      )
    await report(old)
    await used(old)
    await record('lamp', { certificate: { fingerprints: [old, next].sort() } })
    await report(next)
    await used(next)
    await record('lamp', { certificate: { fingerprints: [next] } })
    await vi.waitFor(
      async () => expect((await get('lamp')).status?.certificate).not.toHaveProperty('retiring'),
      waiting,
    )
  })

  it('is renewed by itself when its time has come', async () => {
    await post('lamp', { certificate: { managed: { duration: '1h', renewBefore: '59m56s' } } })
    await vi.waitFor(async () => {
      // Its time comes again every few seconds.
      const { fingerprints = [] } = (await get('lamp')).status?.certificate ?? {}
      expect(fingerprints.length).toBeGreaterThan(1)
    }, waiting)
    await stage.space.delete(DEVICES, 'lamp')
  })

  it('is issued anew when its Secret is deleted or spoiled, and the one before stays good', async () => {
    await post('lamp')
    await ready('lamp')
    const prints = [fingerprint(textOf(await secret('device-lamp-tls'), 'tls.crt'))]
    const harms = [
      () => stage.space.delete(SECRETS, 'device-lamp-tls'),
      () =>
        stage.space.merge(SECRETS, 'device-lamp-tls', {
          data: { 'tls.key': Buffer.from('x').toString('base64') },
        }),
    ]
    for (const harm of harms) {
      await harm()
      await vi.waitFor(
        async () =>
          expect((await get('lamp')).status?.certificate?.fingerprints).toHaveLength(prints.length + 1),
        waiting,
      )
      const found = fingerprint(textOf(await secret('device-lamp-tls'), 'tls.crt'))
      expect((await get('lamp')).status?.certificate?.fingerprints).toEqual(
        expect.arrayContaining([found, ...prints]),
      )
      prints.unshift(found)
    }
    await record('lamp', { certificate: { fingerprints: [...prints].sort() } })
  })

  it('moves with the name of its Secret, and the Secret before goes', async () => {
    await post('lamp')
    await ready('lamp')
    await edit('lamp', { spec: { certificate: { managed: { secretName: 'mine' } } } })
    await vi.waitFor(async () => {
      expect(await secretNames()).toContain('mine')
      expect(await secretNames()).not.toContain('device-lamp-tls')
    }, waiting)
  })

  it('goes with its device, and brokers do not know it any more by then', async () => {
    await post('lamp')
    await ready('lamp')
    await stage.space.delete(DEVICES, 'lamp')
    await vi.waitFor(async () => expect(await stage.space.list(DEVICES)).toEqual([]), waiting)
    expect((await stage.state('home')).devices).toEqual({})
    expect(await secretNames()).not.toContain('device-lamp-tls')
  })
})

describe('a revocation', () => {
  it('outlives its own undoing: the certificates of that time stay refused, a new one is issued', async () => {
    await post('lamp')
    await ready('lamp')
    const print = fingerprint(textOf(await secret('device-lamp-tls'), 'tls.crt'))
    await edit('lamp', { spec: { revoked: true } })
    await record('lamp', { revoked: true, revokedFingerprints: [{ fingerprint: print }] })
    await vi.waitFor(async () => expect(await secretNames()).not.toContain('device-lamp-tls'), waiting)
    await untilCondition(stage.space, DEVICES, 'lamp', { type: 'Ready', status: 'True', reason: 'Revoked' })
    const { message } = await untilCondition(stage.space, DEVICES, 'lamp', {
      type: 'Revoked',
      status: 'True',
    })
    expect(message).toMatch(/^the device is refused, and 1 certificate of it until \d{4}-.*Z$/)
    await edit('lamp', { spec: { revoked: false } })
    await ready('lamp')
    const next = fingerprint(textOf(await secret('device-lamp-tls'), 'tls.crt'))
    expect(next).not.toBe(print)
    await record('lamp', {
      revoked: false,
      revokedFingerprints: [{ fingerprint: print }],
      certificate: { fingerprints: [next] },
    })
  })
})

describe('a certificate of the user', () => {
  it('is matched exactly, from the spec or from a Secret, and follows it', async () => {
    const ca = await makeCa('ECDSA-P256', 'somebody else')
    const make = async () =>
      (
        await issueDeviceCertificate({
          ca,
          commonName: 'anything',
          keyAlgorithm: 'ECDSA-P256',
          duration: HOUR,
          now: Date.now(),
          serial: serial(),
        })
      ).certificatePem
    const [one, other] = [await make(), await make()]
    await post('inline', { certificate: { provided: { pem: one } } })
    await post('named', { certificate: { provided: { secretRef: { name: 'cert' } } } })
    await record('inline', { certificate: { source: 'Provided', fingerprints: [fingerprint(one)] } })
    await untilCondition(stage.space, DEVICES, 'named', {
      type: 'Ready',
      status: 'False',
      reason: 'SecretNotFound',
    })
    await stage.space.post(SECRETS, 'cert', { stringData: { 'tls.crt': other } })
    await record('named', { certificate: { source: 'Provided', fingerprints: [fingerprint(other)] } })
    await edit('inline', { spec: { certificate: { provided: { pem: await make() } } } })
    await vi.waitFor(async () => {
      const [found] = (await stage.state('home')).devices['inline']?.certificate.fingerprints ?? []
      expect(found).not.toBe(fingerprint(one))
    }, waiting)
    await ready('inline', 'named')
    // One that was revoked does not come back, and the device says so.
    await edit('named', { spec: { revoked: true } })
    await record('named', { revokedFingerprints: [{ fingerprint: fingerprint(other) }] })
    await edit('named', { spec: { revoked: false } })
    const { message } = await untilCondition(stage.space, DEVICES, 'named', {
      type: 'Stalled',
      reason: 'CertificateInvalid',
    })
    expect(message).toContain('expected another certificate than the one that was revoked')
    // Nor by a Device that is deleted and made anew, as an older commit would have it.
    await stage.space.delete(DEVICES, 'named')
    const listed = { fingerprint: fingerprint(other), until: expect.any(String) }
    await vi.waitFor(
      async () => expect((await stage.state('home')).hub?.revokedFingerprints).toEqual([listed]),
      waiting,
    )
    await post('named', { certificate: { provided: { secretRef: { name: 'cert' } } } })
    await untilCondition(stage.space, DEVICES, 'named', { type: 'Stalled', reason: 'CertificateInvalid' })
    expect((await stage.state('home')).hub?.revokedFingerprints).toEqual([listed])
    await vi.waitFor(async () => {
      const { status } = await stage.space.get<Hub>(HUBS, 'home')
      expect(status?.revoked).toEqual({ certificates: 1, until: expect.any(String) })
    }, waiting)
    // None of ours was made.
    expect((await secretNames()).filter((name) => name?.startsWith('device-'))).toEqual([])
  })

  it('that cannot be read is told, with the field', async () => {
    const pem = '-----BEGIN CERTIFICATE-----\nbm8=\n-----END CERTIFICATE-----\n'
    await post('lamp', { certificate: { provided: { pem } } })
    const { message } = await untilCondition(stage.space, DEVICES, 'lamp', {
      type: 'Stalled',
      status: 'True',
      reason: 'CertificateInvalid',
    })
    expect(message).toContain('spec.certificate.provided.pem')
  })
})

describe('a password', () => {
  const password = (text: string) => ({ stringData: { password: text } })

  it('reaches brokers as a verifier that stays the same while it fits', async () => {
    await post('kettle', { allowInsecure: true, passwordSecretRef: { name: 'kettle' } })
    const { message } = await untilCondition(stage.space, DEVICES, 'kettle', {
      type: 'Ready',
      reason: 'SecretNotFound',
    })
    expect(message).toContain('key password of Secret kettle')
    await stage.space.post(SECRETS, 'kettle', password('let me in'))
    await ready('kettle')
    const { passwordVerifier: first = '' } = await record('kettle', { allowInsecure: true })
    expect(await verifyPassword(first, Buffer.from('let me in'))).toBe(true)
    // A change of the Secret that is none of the password.
    await stage.space.merge(SECRETS, 'kettle', { stringData: { other: 'x' } })
    await stage.space.merge(SECRETS, 'kettle', { metadata: { labels: { touched: 'yes' } } })
    const source = await secret('kettle')
    await vi.waitFor(async () => {
      const { metadata } = await secret('device-kettle-verifier')
      expect(metadata.annotations?.['iot.hublet.dev/password-source']).toContain(
        `/${source.metadata.resourceVersion}/`,
      )
    }, waiting)
    expect((await record('kettle', {})).passwordVerifier).toBe(first)
    await stage.space.merge(SECRETS, 'kettle', password('another'))
    await vi.waitFor(async () => {
      const { passwordVerifier = '' } = (await stage.state('home')).devices['kettle'] ?? {}
      expect(await verifyPassword(passwordVerifier, Buffer.from('another'))).toBe(true)
    }, waiting)
    await stage.space.delete(SECRETS, 'kettle')
    await record('kettle', { allowInsecure: false })
  })
})

describe('what keeps a device from being ready', () => {
  it.each([
    [
      'an older device of that name',
      { name: 'taken' },
      'DuplicateName',
      'the name "taken" belongs to the older Device first',
    ],
    [
      'a template that does not exist',
      { messageFilters: { publish: { topics: ['{{ nothing }}'] } } },
      'FilterTemplateInvalid',
      'unknown variable nothing',
    ],
    [
      'a certificate that the hub cannot give',
      { certificate: { hubCA: {} } },
      'CertificateNotPossible',
      'hubCA',
    ],
    ['an approval that is still to come', { approved: false }, 'PendingApproval', 'spec.approved'],
  ])('%s', async (_, spec, reason, text) => {
    await post('first', { name: 'taken' })
    await ready('first')
    await post('second', spec)
    const { message } = await untilCondition(stage.space, DEVICES, 'second', {
      type: 'Stalled',
      status: 'True',
      reason,
    })
    expect(message).toContain(text)
    const { status } = await get('second')
    expect(findCondition(status?.conditions, 'Ready')).toMatchObject({ status: 'False', reason })
    await ready('first')
  })

  it('a hub that is not there, and it is ready as soon as the hub is', async () => {
    await post('early', { hubRef: { name: 'later' } })
    const { message } = await untilCondition(stage.space, DEVICES, 'early', {
      type: 'Reconciling',
      status: 'True',
      reason: 'HubNotFound',
    })
    expect(message).toBe('spec.hubRef: there is no Hub later in this namespace')
    await stage.space.post(HUBS, 'later', { spec: {} })
    await ready('early')
  })

  it('a Secret of its name that is not ours, which stays as it is, until it is gone', async () => {
    const theirs = { type: 'Opaque', stringData: { precious: 'theirs' } }
    await stage.space.post(SECRETS, 'device-lamp-tls', theirs)
    await post('lamp')
    const { message } = await untilCondition(stage.space, DEVICES, 'lamp', {
      type: 'Stalled',
      reason: 'NameTaken',
    })
    expect(message).toContain('device-lamp-tls exists and is not ours')
    expect(textOf(await secret('device-lamp-tls'), 'precious')).toBe('theirs')
    await stage.space.delete(SECRETS, 'device-lamp-tls')
    await edit('lamp', { metadata: { labels: { touched: 'yes' } } })
    await ready('lamp')
  })

  it('nothing: refused because its spec says so is as it should be', async () => {
    await post('lamp', { enabled: false })
    await untilCondition(stage.space, DEVICES, 'lamp', { type: 'Ready', status: 'True', reason: 'Disabled' })
    await record('lamp', { enabled: false })
  })
})

describe('what brokers report of a device', () => {
  it('stands in its status and in that of the hub', async () => {
    await first.stop()
    stage.start({ activityEveryMs: 100 })
    await post('lamp')
    await ready('lamp')
    const uid = (await stage.space.get<KubeObject>(HUBS, 'home')).metadata.uid ?? ''
    const { id } = await record('lamp', {})
    const broker = stage.redis.client()
    const at = Date.parse('2026-06-01T00:00:00Z')
    await broker.hset(deviceDigestKey(uid), id, encodeDigest({ connections: 2, lastActivityAt: at }))
    await vi.waitFor(async () => {
      expect((await get('lamp')).status).toMatchObject({
        connected: true,
        connections: 2,
        lastActivityTime: '2026-06-01T00:00:00Z',
      })
      const hub = await stage.space.get<KubeObject & { status: object }>(HUBS, 'home')
      expect(hub.status).toMatchObject({ connectedDevices: 1 })
    }, waiting)
    // The broker is gone, and its report with it.
    await broker.del(deviceDigestKey(uid))
    await vi.waitFor(async () => {
      expect((await get('lamp')).status).toMatchObject({
        connected: false,
        connections: 0,
        lastActivityTime: '2026-06-01T00:00:00Z',
      })
    }, waiting)
    await ready('lamp')
  })
})
