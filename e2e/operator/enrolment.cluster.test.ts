import { readFileSync, writeFileSync } from 'node:fs'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import {
  DEPLOYMENTS,
  DEVICES,
  type Device,
  HUBS,
  type Hub,
  SECRETS,
  type Secret,
} from '../../operator/api/resources.ts'
import { Stage, type TestOperator, textOf, untilAtWork, untilReady } from '../../operator/operator.fixture.ts'
import { makeCa } from '../../operator/pki/pki.fixture.ts'
import { openssl } from '../../test-support/openssl.ts'
import { ShellDevice } from '../../test-support/shell-device.ts'
import { waitUntil } from '../../test-support/wait.ts'
import { PodOfDeployment } from './pod-of-deployment.fixture.ts'

const patience = { timeoutMs: 60_000 }

let stage: Stage
let operator: TestOperator
let pod: PodOfDeployment | undefined

beforeEach(async () => {
  stage = await Stage.create('enrols')
})
afterEach(async () => {
  await pod?.stop()
  await stage.close()
})

const enrolled = (name: string, spec: object = {}) =>
  stage.space.post(DEVICES, name, {
    spec: { hubRef: { name: 'home' }, certificate: { enrolled: {} }, ...spec },
  })

async function open(spec: object = {}): Promise<void> {
  operator = stage.start()
  await stage.space.post<Hub>(HUBS, 'home', { spec })
  await enrolled('gate')
  await untilReady(stage.space, HUBS, ['home'])
  await untilReady(stage.space, DEVICES, ['gate'])
  pod = await PodOfDeployment.start(stage.space, await stage.space.get(DEPLOYMENTS, 'hub-home'))
}

async function bring(device: ShellDevice): Promise<void> {
  const secret = await stage.space.get<Secret>(SECRETS, `device-${device.name}-enrolment`)
  for (const key of ['token', 'ca.crt']) writeFileSync(device.file(key), textOf(secret, key))
}

async function shellDevice(name: string): Promise<ShellDevice> {
  const host = `hub-home.${stage.space.name}.svc`
  const port = pod?.port('https')
  const device = new ShellDevice(name, {
    hub: `https://${host}:${port}`,
    curlrc: `resolve = "${host}:${port}:127.0.0.1"\n`,
    mqttsPort: pod?.port('mqtts') ?? 0,
    // The certificate names the Service; here the pod has no name.
    mosquittoArgs: ['--insecure'],
  })
  await bring(device)
  return device
}

const P256 = '-algorithm EC -pkeyopt ec_paramgen_curve:P-256'
const statusOf = async (name: string) => (await stage.space.get<Device>(DEVICES, name)).status

describe('a device with openssl and curl', () => {
  it('gets its certificate by the recipe of the documentation, renews it, and keeps its key to itself', async () => {
    await open()
    const gate = await shellDevice('gate')
    const first = await gate.recipe('enrol')
    expect(first.stderr).toBe('')
    // In force when it arrives, not some time later.
    expect(await gate.connects()).toBe(true)
    await gate.run('cp tls.crt old.crt; cp tls.key old.key')
    expect((await gate.recipe('renew')).stderr).toBe('')
    expect(readFileSync(gate.file('tls.crt'))).not.toEqual(readFileSync(gate.file('old.crt')))
    expect(await gate.connects('old')).toBe(true)
    expect(await gate.connects()).toBe(true)

    await gate.run('curl -fsS --cacert ca.crt "$HUB/.well-known/est/cacerts" | openssl base64 -d >cas')
    await gate.run('openssl pkcs7 -inform DER -in cas -print_certs -out cas.pem')
    const verified = await openssl(['verify', '-CAfile', gate.file('cas.pem'), gate.file('tls.crt')])
    expect(verified.stdout.toString()).toContain('OK')
    const shown = await openssl(['x509', '-in', gate.file('tls.crt'), '-noout', '-ext', 'extendedKeyUsage'])
    expect(shown.stdout.toString()).toContain('TLS Web Client Authentication')
    const secrets = (await stage.space.list<Secret>(SECRETS)).filter(({ metadata }) =>
      metadata.name?.startsWith('device-gate'),
    )
    expect(secrets.map(({ metadata, data }) => [metadata.name, Object.keys(data ?? {}).sort()])).toEqual([
      ['device-gate-enrolment', ['ca.crt', 'token']],
    ])
    // Another operator knows the certificates by what the first has written.
    await operator.stop()
    operator = stage.start()
    await untilAtWork(operator)
    expect(await gate.connects()).toBe(true)
    expect((await gate.recipe('renew')).stderr).toBe('')
    expect(await gate.connects()).toBe(true)

    await stage.space.merge(DEVICES, 'gate', { spec: { revoked: true } })
    await waitUntil('it is refused', async () => !(await gate.connects()), patience)
    expect((await gate.recipe('renew')).stderr).toContain('403')
  })

  it('needs its token for the first one: once, in time, and its own', async () => {
    await open()
    await enrolled('door', { certificate: { enrolled: { tokenTTL: '1m' } } })
    await untilReady(stage.space, DEVICES, ['door'])
    const gate = await shellDevice('gate')
    const door = await shellDevice('door')
    for (const name of ['one', 'two']) await gate.makeRequest(name, P256)
    expect(await gate.enrol('one', 'ca.crt')).toBe('401 TOKEN_REFUSED')
    writeFileSync(gate.file('door-token'), readFileSync(door.file('token')))
    expect(await gate.enrol('one', 'door-token')).toBe('401 TOKEN_REFUSED')
    // The door's token is good, and its name is not the gate's.
    expect(await gate.enrol('one', 'door-token', 'door')).toBe('400 CSR_INVALID')

    const race = await Promise.all([gate.enrol('one'), gate.enrol('two')])
    expect(race.toSorted()).toEqual(['200', '403 TOKEN_REFUSED'])
    const winner = race[0] === '200' ? 'one' : 'two'
    const loser = winner === 'one' ? 'two' : 'one'
    // Whoever lost the answer may ask again; another key may not.
    expect(await gate.enrol(winner)).toBe('200')
    expect(await gate.enrol(loser)).toBe('403 TOKEN_REFUSED')
    expect((await statusOf('gate'))?.certificate?.enrolment).toBeDefined()

    // After a loss a person lets it ask anew: the old token stays used.
    await stage.space.merge(DEVICES, 'gate', { metadata: { annotations: { 'iot.hublet.dev/rotate': '1' } } })
    const before = readFileSync(gate.file('token'), 'utf8')
    await waitUntil(
      'there is another token',
      async () => {
        await bring(gate)
        return readFileSync(gate.file('token'), 'utf8') !== before
      },
      patience,
    )
    await waitUntil('it is known', async () => (await gate.enrol(loser)) === '200', patience)
  })

  it('is told what is wrong with its request', async () => {
    await open()
    const gate = await shellDevice('gate')
    await gate.makeRequest('small', '-algorithm RSA -pkeyopt rsa_keygen_bits:1024')
    await gate.makeRequest('curve', '-algorithm EC -pkeyopt ec_paramgen_curve:secp256k1')
    await gate.makeRequest('name', P256, '/CN=door')
    await gate.makeRequest('nameless', P256, '/O=gate')
    await gate.makeRequest('good', P256)
    const der = Buffer.from(readFileSync(gate.file('good'), 'utf8'), 'base64')
    der[der.length - 1]! ^= 1
    writeFileSync(gate.file('forged'), der.toString('base64'))
    writeFileSync(gate.file('junk'), 'AAAA')
    writeFileSync(gate.file('text'), 'this is {no} request')
    for (const name of ['small', 'curve', 'name', 'nameless', 'forged', 'junk', 'text'])
      expect(await gate.enrol(name), name).toBe('400 CSR_INVALID')
    writeFileSync(gate.file('large'), 'A'.repeat(20_000))
    expect(await gate.enrol('large')).toBe('413 PAYLOAD_TOO_LARGE')
    // None of them has used the token up.
    expect(await gate.enrol('good')).toBe('200')
    const plain = await gate.run(
      'curl -s -o answer -w "%{http_code}" --cacert ca.crt "$HUB/.well-known/est/x"',
    )
    expect(plain.stdout.toString()).toBe('404')
    const bare = await gate.run(
      'curl -s -o answer -w "%{http_code}" --cacert ca.crt --data-binary @good "$HUB/.well-known/est/simplereenroll"',
    )
    expect(bare.stdout.toString()).toBe('403')
  })

  it('may have a key of RSA, P-384 or Ed25519, also of a CA that the user gave', async () => {
    const ca = await makeCa('ECDSA-P256', 'my own CA')
    await stage.space.post(SECRETS, 'ca', {
      stringData: { 'tls.crt': ca.certificatePem, 'tls.key': ca.privateKeyPem },
    })
    await open({ deviceCA: { secretRef: { name: 'ca' } } })
    const keys = {
      gate: 'RSA -pkeyopt rsa_keygen_bits:3072',
      door: 'EC -pkeyopt ec_paramgen_curve:P-384',
      yard: 'ED25519',
    }
    for (const name of ['door', 'yard']) await enrolled(name)
    await untilReady(stage.space, DEVICES, ['door', 'yard'])
    for (const [name, algorithm] of Object.entries(keys)) {
      const device = await shellDevice(name)
      await device.makeRequest('tls', `-algorithm ${algorithm}`)
      expect(await device.enrol('tls'), algorithm).toBe('200')
      await device.run('openssl base64 -d <tls.answer | openssl pkcs7 -inform DER -print_certs -out tls.crt')
      expect(await device.connects(), algorithm).toBe(true)
      expect((await device.recipe('renew')).stderr, algorithm).toBe('')
      expect(await device.connects(), algorithm).toBe(true)
    }
  })
})
