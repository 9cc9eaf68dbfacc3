import { once } from 'node:events'
import { connect } from 'node:net'
import { join } from 'node:path'
import { connect as connectTls, type TLSSocket } from 'node:tls'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { headerOf } from '../../broker/listen/proxy-header.fixture.ts'
import type { DeviceRecord } from '../../contract/hub-state.ts'
import { HaProxy } from '../../test-support/haproxy.ts'
import { device, hub } from '../../test-support/hub-state.ts'
import { MqttClient } from '../../test-support/mqtt-client.ts'
import { type MadeCertificate, makeCertificate } from '../../test-support/openssl.ts'
import { startBroker, type TestBroker } from '../../test-support/start-broker.ts'
import { waitUntil } from '../../test-support/wait.ts'

const CONFIGURATION = join(import.meta.dirname, '../../examples/exposure/haproxy.cfg')
const GARDEN = 'garden.example.com'
const PLANT = 'plant.example.com'
/** Not an address of the proxy, whom the hubs trust. */
const OUTSIDE = '127.0.0.9'
const PROXY = '127.0.0.1'

interface TestHub {
  broker: TestBroker
  authority: MadeCertificate
  lamp: DeviceRecord
  lampCertificate: MadeCertificate
}

let garden: TestHub
let plant: TestHub
let edge: HaProxy

async function startHub(name: string): Promise<TestHub> {
  const authority = await makeCertificate({ commonName: `${name} server CA`, authority: true })
  const server = await makeCertificate({ commonName: name, issuer: authority, subjectAltName: `DNS:${name}` })
  const deviceCa = await makeCertificate({ commonName: `${name} device CA`, authority: true })
  const lampCertificate = await makeCertificate({ commonName: 'lamp', issuer: deviceCa })
  const lamp = device({
    name: 'lamp',
    allowInsecure: false,
    certificate: { source: 'Managed', fingerprints: [lampCertificate.fingerprint] },
  })
  const broker = await startBroker(
    { hub: hub({ name, trustedProxies: [`${PROXY}/32`] }), devices: [lamp] },
    { listeners: ['mqtts'], serverCertificate: server },
  )
  return { broker, authority, lamp, lampCertificate }
}

beforeAll(async () => {
  garden = await startHub(GARDEN)
  plant = await startHub(PLANT)
  const addressOf = ({ broker }: TestHub) => `${PROXY}:${broker.port('mqtts')}`
  edge = await HaProxy.start(CONFIGURATION, {
    GARDEN_ADDRESS: addressOf(garden),
    PLANT_ADDRESS: addressOf(plant),
  })
})

afterAll(async () => {
  await edge?.[Symbol.asyncDispose]()
  for (const one of [garden, plant]) await one?.broker.stop()
})

/** A client outside, who checks the name of the hub as devices do. */
async function dial(servername: string, { authority, lampCertificate }: TestHub): Promise<TLSSocket> {
  const tls = { ca: authority.certPem, cert: lampCertificate.certPem, key: lampCertificate.keyPem }
  const tcp = connect({ host: PROXY, port: edge.port, localAddress: OUTSIDE })
  await once(tcp, 'connect')
  const socket = connectTls({ socket: tcp, servername, ...tls })
  socket.on('error', () => {})
  await once(socket, 'secureConnect')
  return socket
}

describe('one HAProxy in front of two hubs', () => {
  it.each([
    ['the one', GARDEN, () => garden],
    ['the other', PLANT, () => plant],
  ])('brings a client to %s by the name it asks for, certificate and all', async (_, name, target) => {
    const socket = await dial(name, target())
    const client = new MqttClient(socket)
    expect((await client.connect({ clientId: 'lamp' })).returnCode).toBe(0)
    client.close()
  })

  it('does not let a device of one hub into the other', async () => {
    const socket = await dial(PLANT, { ...garden, authority: plant.authority })
    const before = plant.broker.events.length
    const client = new MqttClient(socket)
    const refused = await client.connect({ clientId: 'lamp' }).catch(() => ({ returnCode: 5 }))
    expect(refused.returnCode).not.toBe(0)
    // The event tells the address of the client, not that of the proxy.
    const event = await waitUntil('an event', () => plant.broker.events[before])
    expect(event.extra?.['source-address']).toBe(`${OUTSIDE}:${socket.localPort}`)
  })

  it.each(['other.example.com', 'example.com'])('leads nowhere for the name %s', async (name) => {
    await expect(dial(name, garden)).rejects.toThrow('disconnected before secure TLS connection')
  })

  it('keeps working while it probes the hubs, of which nothing is told', async () => {
    const told = [...garden.broker.events, ...plant.broker.events].map(({ code }) => code)
    expect(told).not.toContain('PROXY_HEADER_REFUSED')
    expect(told).not.toContain('TLS_HANDSHAKE_FAILED')
  })
})

it('a client that goes past the proxy and forges its header is refused, and its word repeated nowhere', async () => {
  const { broker } = garden
  const socket = connect({ host: PROXY, port: broker.port('mqtts'), localAddress: OUTSIDE })
  socket.on('error', () => {})
  await once(socket, 'connect')
  const address = `${OUTSIDE}:${socket.localPort}`
  socket.write(headerOf('198.51.100.7', 50_000))
  await once(socket, 'close')
  const event = await broker.waitForEvent('TLS_HANDSHAKE_FAILED')
  expect(event.extra).toEqual({ 'source-address': address })
  expect(JSON.stringify(broker.events)).not.toContain('198.51.100.7')
})
