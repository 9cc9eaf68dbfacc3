import { X509Certificate } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest'
import { startCanary } from './canary.ts'
import { freePort } from './free-port.ts'
import { device } from './hub-state.ts'
import { mosquittoPub, mosquittoSub, startMosquitto } from './mosquitto.ts'
import { connackCode, openMqtt } from './mqtt-client.ts'
import { fuzz, mutate } from './mqtt-fuzz.ts'
import { makeCertificate, makeServerCertificate, openssl } from './openssl.ts'
import { Random } from './random.ts'
import type { RunningProgram } from './run-program.ts'
import { waitUntil } from './wait.ts'

// The helpers are tried against a broker that is not ours, so that a fault of theirs cannot hide behind ours.
let broker: RunningProgram
let port: number
let wsPort: number
let tlsPort: number
let tls: Awaited<ReturnType<typeof makeServerCertificate>>

beforeAll(async () => {
  tls = await makeServerCertificate()
  wsPort = await freePort()
  tlsPort = await freePort()
  ;({ program: broker, port } = await startMosquitto([
    `listener ${wsPort} 127.0.0.1`,
    'protocol websockets',
    `listener ${tlsPort} 127.0.0.1`,
    `certfile ${tls.server.certPath}`,
    `keyfile ${tls.server.keyPath}`,
    `cafile ${tls.authority.certPath}`,
    'require_certificate true',
  ]))
})
afterAll(async () => {
  await broker.stop()
})

describe('the raw MQTT client', () => {
  it.each([3, 4, 5] as const)('exchanges QoS 0, 1 and 2 at protocol level %i', async (version) => {
    const client = await openMqtt({ port, version })
    onTestFinished(() => client.close())
    expect(connackCode(await client.connect({ clientId: `client-${version}` }))).toBe(0)
    expect(await client.subscribe(['a/+', { topic: 'b', qos: 1 }], 2)).toEqual([2, 1])
    for (const qos of [0, 1, 2] as const) await client.publish('a/x', `qos ${qos}`, { qos })
    const messages = await client.waitForMessages(3)
    expect(messages.map(({ topic, text, qos }) => [topic, text, qos])).toEqual([
      ['a/x', 'qos 0', 0],
      ['a/x', 'qos 1', 1],
      ['a/x', 'qos 2', 2],
    ])
    await client.disconnect()
    expect(client.isClosed).toBe(true)
  })

  it('speaks over WebSocket', async () => {
    const client = await openMqtt({ port: wsPort, listener: 'ws' })
    onTestFinished(() => client.close())
    await client.connect({ clientId: 'over-ws' })
    await client.ping()
  })

  it('shows a client certificate', async () => {
    const { certPem: cert, keyPem: key } = await makeCertificate({ commonName: 'me', issuer: tls.authority })
    const ca = tls.authority.certPem
    const client = await openMqtt({ port: tlsPort, listener: 'mqtts', tls: { ca, cert, key } })
    onTestFinished(() => client.close())
    expect(connackCode(await client.connect({ clientId: 'over-tls' }))).toBe(0)
  })

  it('tells at once when the link closes before the packet that a test waits for', async () => {
    const client = await openMqtt({ port })
    client.sendBytes(Buffer.from('garbage'))
    await expect(client.waitFor('connack')).rejects.toThrow('the link closed before connack')
  })
})

describe('the mosquitto programs', () => {
  it('carry bytes of any value', async () => {
    const payload = Buffer.from([0, 10, 64, 255, 13])
    const sub = await mosquittoSub({ port, topics: ['bin/#', 'other'], qos: 1 })
    onTestFinished(async () => void (await sub.stop()))
    expect((await mosquittoPub({ port, topic: 'bin/a b', payload, qos: 1 })).code).toBe(0)
    const [message] = await sub.waitForMessages(1)
    expect(message).toMatchObject({ topic: 'bin/a b', payload, qos: 1, retain: false })
  })
})

describe('the fuzzer', () => {
  it.each([3, 4, 5] as const)('gets many frames through at protocol level %i', async (version) => {
    const job = { port, version, random: new Random(7), deviceId: 'd', frames: 600, concurrency: 4 }
    const { frames, connections } = await fuzz(job)
    expect(frames).toBeGreaterThanOrEqual(600)
    // Most links must outlive several frames, or the broker would only ever be asked the first question.
    expect(frames / connections).toBeGreaterThan(2)
  })

  it('makes the same frames from the same seed, and never the frame it was given', () => {
    const frame = Buffer.from([0x30, 5, 0, 1, 97, 120, 121])
    const make = (seed: number) => {
      const random = new Random(seed)
      return Array.from({ length: 500 }, () => mutate(frame, random))
    }
    expect(make(7)).toEqual(make(7))
    expect(make(7)).not.toEqual(make(8))
    expect(make(7).filter((mutated) => mutated.equals(frame))).toEqual([])
  })
})

describe('the canary', () => {
  it('notices nothing on a broker at peace', async () => {
    const canary = await startCanary(port, [device(), device()], 1)
    await waitUntil('some messages', () => canary.messages > 20)
    expect(await canary.stop()).toMatchObject({ slowestMs: expect.any(Number) })
  })

  it('notices when its broker goes away', async () => {
    const own = await startMosquitto()
    const canary = await startCanary(own.port, [device(), device()], 1)
    await waitUntil('some messages', () => canary.messages > 5)
    await own.program.stop()
    await expect(canary.stop()).rejects.toThrow('link closed')
  })
})

describe('certificates made by openssl', () => {
  it('have the asked dates, subject and fingerprint', async () => {
    const made = await makeCertificate({
      commonName: 'a device',
      keyType: 'RSA-2048',
      notBefore: new Date('2020-01-02T03:04:05Z'),
      notAfter: new Date('2021-01-02T03:04:05Z'),
    })
    const certificate = new X509Certificate(made.certPem)
    expect(certificate.subject).toBe('CN=a device')
    expect(certificate.validToDate).toEqual(new Date('2021-01-02T03:04:05Z'))
    const { stdout } = await openssl(['x509', '-in', made.certPath, '-noout', '-fingerprint', '-sha256'])
    expect(stdout.toString().replace(/^.*=/, '').replaceAll(':', '').trim().toLowerCase()).toBe(
      made.fingerprint,
    )
    expect(certificate.verify(certificate.publicKey)).toBe(true)
  })

  it('can lack a common name and be signed by an authority', async () => {
    const authority = await makeCertificate({ commonName: 'CA', authority: true })
    const made = await makeCertificate({ commonName: '', issuer: authority })
    const certificate = new X509Certificate(made.certPem)
    expect(certificate.subject).toBe('O=hublet tests')
    expect(certificate.checkIssued(new X509Certificate(authority.certPem))).toBe(true)
  })
})
