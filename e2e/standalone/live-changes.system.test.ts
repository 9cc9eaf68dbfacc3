import { beforeAll, describe, expect, it } from 'vitest'
import type { EventCode } from '../../contract/hub-event.ts'
import type { DeviceRecord, HubState } from '../../contract/hub-state.ts'
import { device } from '../../test-support/hub-state.ts'
import type { MqttClient } from '../../test-support/mqtt-client.ts'
import { type MadeCertificate, makeCertificate, makeServerCertificate } from '../../test-support/openssl.ts'
import { startBroker, type TestBroker } from '../../test-support/start-broker.ts'
import { within } from '../../test-support/wait.ts'

// Any change that makes a live session illegal closes it within 2 s and leaves the others alone.
const LIMIT_MS = 2_000

const LINKS = {
  'mqtt by id': { listener: 'mqtt', mutual: false },
  'mqtts by id': { listener: 'mqtts', mutual: false },
  'ws by id': { listener: 'ws', mutual: false },
  'wss by id': { listener: 'wss', mutual: false },
  'mqtts by certificate': { listener: 'mqtts', mutual: true },
  'wss by certificate': { listener: 'wss', mutual: true },
} as const
type LinkName = keyof typeof LINKS
const EVERY = Object.keys(LINKS) as LinkName[]
const BY_ID = EVERY.filter((name) => !LINKS[name].mutual)
const BY_CERTIFICATE = EVERY.filter((name) => LINKS[name].mutual)

let certificate: MadeCertificate
let target: DeviceRecord
const bystander = device({ name: 'bystander' })

beforeAll(async () => {
  certificate = await makeCertificate({ commonName: 'target' })
  target = device({
    name: 'target',
    allowMultipleConnections: true,
    certificate: { source: 'Managed', fingerprints: [certificate.fingerprint] },
  })
})

async function connectEverywhere(broker: TestBroker): Promise<Map<LinkName, MqttClient>> {
  const { certPem: cert, keyPem: key } = certificate
  const clients = new Map<LinkName, MqttClient>()
  for (const name of EVERY) {
    const { listener, mutual } = LINKS[name]
    const tls = mutual ? { cert, key } : {}
    const clientId = `client ${clients.size}`
    clients.set(name, await broker.connect(target, { listener, tls, clientId, username: target.id }))
  }
  return clients
}

const onDevice = (edit: (record: DeviceRecord) => DeviceRecord | undefined) => (state: HubState) => ({
  ...state,
  devices: state.devices.flatMap((record) => (record.id === target.id ? (edit(record) ?? []) : record)),
})

interface Change {
  change: string
  edit: (state: HubState) => HubState
  closes: readonly LinkName[]
  closesBystander?: boolean
  event?: EventCode
}

const CHANGES: readonly Change[] = [
  {
    change: 'denying insecure links',
    edit: onDevice((record) => ({ ...record, allowInsecure: false })),
    closes: BY_ID,
    event: 'DEVICE_SECURITY_CHANGED',
  },
  {
    change: 'disabling the device',
    edit: onDevice((record) => ({ ...record, enabled: false })),
    closes: EVERY,
    event: 'DEVICE_DISABLED',
  },
  {
    change: 'revoking the device',
    edit: onDevice((record) => ({ ...record, revoked: true })),
    closes: EVERY,
    event: 'DEVICE_REVOKED',
  },
  { change: 'deleting the device', edit: onDevice(() => undefined), closes: EVERY, event: 'DEVICE_DELETED' },
  {
    change: 'replacing the certificate',
    edit: onDevice((record) => ({
      ...record,
      certificate: { source: 'Managed', fingerprints: ['0'.repeat(64)] },
    })),
    closes: BY_CERTIFICATE,
    event: 'INVALID_DEVICE_CERTIFICATE',
  },
  {
    change: 'revoking the certificate',
    edit: onDevice((record) => ({
      ...record,
      certificate: { source: 'Managed', fingerprints: [] },
      revokedFingerprints: [{ fingerprint: certificate.fingerprint, until: '2100-01-01T00:00:00Z' }],
    })),
    closes: BY_CERTIFICATE,
    event: 'DEVICE_REVOKED',
  },
  {
    change: 'adding a second certificate, as a rotation does',
    edit: onDevice((record) => ({
      ...record,
      certificate: { source: 'Managed', fingerprints: [certificate.fingerprint, '1'.repeat(64)] },
    })),
    closes: [],
  },
  {
    change: 'setting a password',
    edit: onDevice((record) => ({ ...record, passwordVerifier: 'scrypt$16384$8$1$c2FsdHNhbHQ$aGFzaA' })),
    closes: BY_ID,
    event: 'DEVICE_SECURITY_CHANGED',
  },
  {
    change: 'changing the filters',
    edit: onDevice((record) => ({
      ...record,
      filters: { ...record.filters, publish: { policy: 'Accept', topics: [] } },
    })),
    closes: [],
  },
  {
    change: 'forbidding several connections',
    edit: onDevice((record) => ({ ...record, allowMultipleConnections: false })),
    closes: EVERY.slice(0, -1),
    event: 'CONNECTION_REPLACED',
  },
  {
    change: 'disabling the hub',
    edit: (state) => ({ ...state, hub: { ...state.hub, enabled: false } }),
    closes: EVERY,
    closesBystander: true,
    event: 'HUB_DISABLED',
  },
]

describe('on live connections', () => {
  it.each(CHANGES)('$change closes $closes.length of 6 links within 2 s', async (row) => {
    await using broker = await startBroker(
      { devices: [target, bystander] },
      { listeners: ['mqtt', 'mqtts', 'ws', 'wss'] },
    )
    const clients = await connectEverywhere(broker)
    const other = await broker.connect(bystander)

    broker.change(row.edit)

    for (const name of row.closes) {
      await within(`${name} closes`, LIMIT_MS, clients.get(name)?.closed ?? Promise.reject())
    }
    if (row.closesBystander) await within('the other device closes', LIMIT_MS, other.closed)
    else await other.ping()
    for (const name of EVERY.filter((name) => !row.closes.includes(name))) await clients.get(name)?.ping()
    if (row.event === undefined) expect(broker.events).toEqual([])
    else await broker.waitForEvent(row.event)
  })

  it('a hub enabled again lets its devices in again', async () => {
    await using broker = await startBroker({ devices: [bystander] })
    broker.change((state) => ({ ...state, hub: { ...state.hub, enabled: false } }))
    await expect(broker.connect(bystander)).rejects.toThrow('refused with 0x3')
    broker.change((state) => ({ ...state, hub: { ...state.hub, enabled: true } }))
    await (await broker.connect(bystander)).ping()
  })

  it('an MQTT 5 client is told why', async () => {
    await using broker = await startBroker({ devices: [bystander] })
    const client = await broker.connect(bystander, { version: 5 })
    broker.changeDevice(bystander.id, (record) => ({ ...record, enabled: false }))
    expect((await client.waitFor('disconnect')).reasonCode).toBe(0x98)
  })

  it('new server credentials serve new handshakes and leave live links', async () => {
    const { authority, server } = await makeServerCertificate()
    await using broker = await startBroker({ devices: [bystander] }, { listeners: ['mqtts'] })
    const ca = broker.authority.certPem
    const client = await broker.connect(bystander, { listener: 'mqtts', tls: { ca } })

    broker.broker.setCredentials({ certificateChain: server.certPem, privateKey: server.keyPem })

    await client.ping()
    await expect(broker.open({ listener: 'mqtts', tls: { ca } })).rejects.toThrow()
    const renewed = await broker.open({ listener: 'mqtts', tls: { ca: authority.certPem } })
    await renewed.connect({ clientId: bystander.id })
  })
})
