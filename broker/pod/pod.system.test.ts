import { randomUUID } from 'node:crypto'
import { mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { connect as connectTls } from 'node:tls'
import { afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { POD_ENV } from '../../contract/broker-pod.ts'
import type { HubState } from '../../contract/hub-state.ts'
import { hubAclUser } from '../../contract/redis-acl.ts'
import { deviceDigestKey } from '../../contract/redis-keys.ts'
import { HubAclWriter } from '../../operator/redis/hub-acl-writer.ts'
import { HubStateWriter } from '../../operator/redis/hub-state-writer.ts'
import { device, hub, hubState, network } from '../../test-support/hub-state.ts'
import { mosquittoPub, mosquittoSub } from '../../test-support/mosquitto.ts'
import { connackCode, openMqtt } from '../../test-support/mqtt-client.ts'
import { type MadeCertificate, makeCertificate } from '../../test-support/openssl.ts'
import { type RedisServer, startRedis } from '../../test-support/redis.ts'
import { RunningProgram } from '../../test-support/run-program.ts'
import { makeTempDir } from '../../test-support/temp-dir.ts'
import { waitUntil } from '../../test-support/wait.ts'

const MAIN = join(import.meta.dirname, '..', 'main.ts')
const PASSWORD = 'sesame-of-the-hub'
const ROOT = 'sesame-of-root'

type LogLine = { msg: string; ports?: Record<string, number>; status?: { metrics: number; health: number } }

/** A broker process as it runs in a pod, its folders mounted as a kubelet does it. */
class PodUnderTest {
  readonly program: RunningProgram
  #opened: LogLine | undefined

  constructor(folder: string, uid: string, env: Record<string, string> = {}) {
    const ports = ['mqtt', 'mqtts', 'http', 'metrics', 'health'].flatMap((name) => ['--port', `${name}=0`])
    const folders = [
      '--redis',
      join(folder, 'redis'),
      '--server-tls',
      join(folder, 'server-tls'),
      '--tmp',
      folder,
    ]
    this.program = new RunningProgram(process.execPath, [MAIN, '--bind', '127.0.0.1', ...ports, ...folders], {
      timeoutMs: 240_000,
      env: {
        [POD_ENV.hubUid]: uid,
        [POD_ENV.hubName]: 'garden',
        [POD_ENV.listeners]: 'mqtt,mqtts,http',
        [POD_ENV.redisGraceSeconds]: '2',
        ...env,
      },
    })
  }

  get log(): LogLine[] {
    return this.program.lines.map((line) => JSON.parse(line) as LogLine)
  }

  said(text: string): boolean {
    return this.log.some(({ msg }) => msg.includes(text))
  }

  async opened(): Promise<this> {
    this.#opened = await waitUntil('the hub is open', () => {
      if (this.program.ended) throw new Error(`it ended: ${this.program.stdout}${this.program.stderr}`)
      return this.log.find(({ msg }) => msg === 'the hub is open')
    })
    return this
  }

  port(name: string): number {
    return this.#opened?.ports?.[name] ?? 0
  }

  async get(port: 'metrics' | 'health', path: string): Promise<{ status: number; text: string }> {
    const response = await fetch(`http://127.0.0.1:${this.#opened?.status?.[port]}${path}`)
    return { status: response.status, text: await response.text() }
  }

  async isReady(): Promise<boolean> {
    return (await this.get('health', '/readyz')).status === 200
  }
}

/** Files of a mounted Secret: links into a folder that is exchanged as a whole. */
function mount(folder: string, files: Record<string, string>): void {
  mkdirSync(folder, { recursive: true })
  const data = join(folder, `..${randomUUID()}`)
  mkdirSync(data)
  for (const [name, text] of Object.entries(files)) writeFileSync(join(data, name), text)
  symlinkSync(data, join(folder, '..next'))
  renameSync(join(folder, '..next'), join(folder, '..data'))
  for (const name of Object.keys(files)) {
    rmSync(join(folder, name), { force: true })
    symlinkSync(join('..data', name), join(folder, name))
  }
}

describe('the process of a broker pod', () => {
  let server: RedisServer
  let folder: string
  let state: HubState
  let authority: MadeCertificate
  let first: MadeCertificate
  let lampPair: MadeCertificate
  const pods: PodUnderTest[] = []

  const serverCertificate = () =>
    makeCertificate({
      commonName: 'localhost',
      issuer: authority,
      subjectAltName: 'DNS:localhost',
      extendedKeyUsage: 'serverAuth',
    })

  beforeAll(async () => {
    authority = await makeCertificate({ commonName: 'server CA', authority: true })
    const devices = await makeCertificate({ commonName: 'device CA', authority: true })
    first = await serverCertificate()
    lampPair = await makeCertificate({ commonName: 'lamp', issuer: devices, extendedKeyUsage: 'clientAuth' })
  })

  beforeEach(async () => {
    server = await startRedis({ password: ROOT, aclFile: true, fsync: 'always' })
    folder = makeTempDir('pod')
    state = hubState({
      hub: hub({ name: 'garden' }),
      devices: [
        device({
          name: 'lamp',
          allowInsecure: false,
          certificate: { source: 'Managed', fingerprints: [lampPair.fingerprint] },
        }),
        device({ name: 'pump' }),
      ],
      networks: [network({ name: 'web', token: 'sesame-of-the-network' })],
    })
    await new HubAclWriter(server.client()).ensure(state.hub.uid, PASSWORD)
    mount(join(folder, 'redis'), { url: server.url, username: hubAclUser(state.hub.uid), password: PASSWORD })
    mount(join(folder, 'server-tls'), { 'tls.crt': first.certPem, 'tls.key': first.keyPem })
  })

  afterEach(async () => {
    for (const { program } of pods.splice(0)) {
      // Whatever a test did: the log is JSON and holds no secret.
      expect(`${program.stdout}${program.stderr}`).not.toContain('sesame')
      await program.stop('SIGKILL')
    }
    await server.stop()
  })

  const start = (env?: Record<string, string>): PodUnderTest => {
    const pod = new PodUnderTest(folder, state.hub.uid, env)
    pods.push(pod)
    return pod
  }
  const write = (next: HubState) => new HubStateWriter({ redis: server.client() }).write(next)
  const lamp = (pod: PodUnderTest) => ({
    port: pod.port('mqtts'),
    cafile: authority.certPath,
    cert: lampPair.certPath,
    key: lampPair.keyPath,
    clientId: 'lamp',
  })
  const pump = (pod: PodUnderTest) => ({ port: pod.port('mqtt'), clientId: state.devices[1]!.id })

  test('serves a hub that the operator has written, to mosquitto, and changes with it', async () => {
    await write(state)
    const pod = await start().opened()
    expect(await pod.get('health', '/readyz')).toEqual({ status: 200, text: 'ok\n' })
    expect((await pod.get('health', '/livez')).status).toBe(200)
    await using sub = await mosquittoSub({ ...pump(pod), topics: 'garden/#', qos: 1 })
    const sent = await mosquittoPub({ ...lamp(pod), topic: 'garden/lamp', payload: 'on', qos: 1 })
    expect(sent).toMatchObject({ code: 0 })
    expect(await sub.waitForMessages(1)).toMatchObject([{ topic: 'garden/lamp', text: 'on' }])
    const { text } = await pod.get('metrics', '/metrics')
    expect(text).toContain('hublet_messages_received_total{namespace="default",hub="garden"} 1')
    expect(text).toContain('hublet_redis_up{part="store"} 1')
    expect(text).toContain('process_cpu_user_seconds_total')

    const admin = server.client()
    await waitUntil('the first report has been sent', () => admin.exists(deviceDigestKey(state.hub.uid)))
    await write({ ...state, devices: [{ ...state.devices[0]!, revoked: true }, state.devices[1]!] })
    await waitUntil('the revoked device is refused', async () => {
      const refused = await mosquittoPub({ ...lamp(pod), topic: 'garden/lamp', payload: 'on', qos: 1 })
      return refused.code !== 0
    })
  })

  test('waits for the operator and for Redis, alive and not ready', async () => {
    await server.kill()
    const pod = start()
    await waitUntil('it has tried', () => pod.said('the state of the hub cannot be read'))
    await server.start()
    await waitUntil('it has found no hub', () => pod.program.stdout.includes('STATE_MISSING'))
    await write(state)
    await pod.opened()
    expect(await pod.isReady()).toBe(true)
  })

  test('keeps its clients while Redis is gone, takes no new ones, and acknowledges once Redis is back', async () => {
    await write(state)
    const pod = await start({ [POD_ENV.redisGraceSeconds]: '60' }).opened()
    await using sub = await mosquittoSub({ ...lamp(pod), topics: 'garden/#', qos: 1, args: ['-c'] })
    await server.kill()
    await waitUntil('readiness is off', async () => !(await pod.isReady()))
    const refused = await mosquittoPub({ ...pump(pod), topic: 'garden/x', payload: 'x', qos: 1 })
    expect(refused.code).not.toBe(0)
    expect((await pod.get('health', '/livez')).status).toBe(200)
    await server.start()
    await waitUntil('readiness is on', () => pod.isReady())
    expect((await mosquittoPub({ ...pump(pod), topic: 'garden/x', payload: 'late', qos: 1 })).code).toBe(0)
    // The link of before still stands.
    expect(await sub.waitForMessages(1)).toMatchObject([{ text: 'late' }])
  })

  test('closes every session when the grace is over', async () => {
    await write(state)
    const pod = await start().opened()
    const client = await openMqtt({ port: pod.port('mqtt'), version: 5 })
    await client.connect({ clientId: state.devices[1]!.id })
    await server.kill()
    await waitUntil('the grace is over', () => pod.said('the grace without Redis is over'))
    await waitUntil('the client is cut off', () => client.isClosed)
    const again = await openMqtt({ port: pod.port('mqtt'), version: 5 })
    // 0x89: Server busy.
    expect(connackCode(await again.connect({ clientId: state.devices[1]!.id }))).toBe(0x89)
  })

  test('keeps messages for a session over kill -9 and a new pod', async () => {
    await write(state)
    const old = await start().opened()
    const session = { topics: 'garden/#', qos: 1 as const, args: ['-c'] }
    await (await mosquittoSub({ ...lamp(old), ...session })).stop()
    for (const text of ['one', 'two']) {
      const sent = await mosquittoPub({ ...pump(old), topic: 'garden/x', payload: text, qos: 1 })
      expect(sent.code).toBe(0)
    }
    await old.program.stop('SIGKILL')
    const next = await start().opened()
    await using sub = await mosquittoSub({ ...lamp(next), ...session })
    expect((await sub.waitForMessages(2)).map(({ text }) => text)).toEqual(['one', 'two'])
  })

  test('gives way to a new pod at once: it is not ready, and its clients are gone', async () => {
    await write(state)
    const old = await start().opened()
    const client = await openMqtt({ port: old.port('mqtt') })
    await client.connect({ clientId: state.devices[1]!.id, clean: false })
    const next = await start().opened()
    expect(await next.isReady()).toBe(true)
    await waitUntil('the old one gives way', () => old.said('another broker has taken over'))
    await waitUntil('the client is cut off', () => client.isClosed)
    expect(old.program.ended).toBe(false)
    expect(await old.get('health', '/readyz')).toEqual({ status: 503, text: 'fenced\n' })
    expect((await mosquittoPub({ ...lamp(next), topic: 'garden/x', payload: 'x', qos: 1 })).code).toBe(0)
  })

  test('presents a new server certificate without touching its links', async () => {
    await write(state)
    const pod = await start().opened()
    await using sub = await mosquittoSub({ ...lamp(pod), topics: 'garden/#' })
    const second = await serverCertificate()
    mount(join(folder, 'server-tls'), { 'tls.crt': 'no certificate', 'tls.key': second.keyPem })
    await waitUntil('the bad one is told', () => pod.said('the old one stays'))
    mount(join(folder, 'server-tls'), { 'tls.crt': second.certPem, 'tls.key': second.keyPem })
    await waitUntil('the new one is used', () => pod.said('new handshakes get'))
    expect(await presented(pod.port('mqtts'))).toBe(second.fingerprint)
    await mosquittoPub({ ...pump(pod), topic: 'garden/x', payload: 'x' })
    expect(await sub.waitForMessages(1)).toHaveLength(1)
  })

  test('logs in with a new password when the Secret has one', async () => {
    await write(state)
    const pod = await start().opened()
    const { uid } = state.hub
    await new HubAclWriter(server.client()).ensure(uid, 'sesame-new')
    mount(join(folder, 'redis'), { url: server.url, username: hubAclUser(uid), password: 'sesame-new' })
    await server.client().client('KILL', 'USER', hubAclUser(uid))
    await waitUntil('the loss is noticed', () => pod.said('out of touch'))
    await waitUntil('it is back', () => pod.isReady())
  })

  test('drains on SIGTERM: not ready first, and then it ends well', async () => {
    await write(state)
    const pod = await start().opened()
    pod.program.child.kill('SIGTERM')
    await waitUntil('readiness is off', async () => !(await pod.isReady()))
    // Those that come by a Service that has not noticed yet are still served.
    expect((await mosquittoPub({ ...pump(pod), topic: 'garden/x', payload: 'x', qos: 1 })).code).toBe(0)
    expect(await pod.program.exited).toMatchObject({ code: 0 })
  })

  test('can be ended while it still waits for its hub', async () => {
    const pod = start()
    await waitUntil('it waits', () => pod.program.stdout.includes('STATE_MISSING'))
    pod.program.child.kill('SIGINT')
    expect(await pod.program.exited).toMatchObject({ code: 0 })
  })

  test('says every fault of its configuration and ends with code 2', async () => {
    const pod = start({ [POD_ENV.listeners]: 'coap', [POD_ENV.redisGraceSeconds]: 'x' })
    const { code, stderr } = await pod.program.exited
    expect(code).toBe(2)
    expect(stderr.trim().split('\n')).toHaveLength(2)
  })

  test('ends when a file it needs is not there', async () => {
    rmSync(join(folder, 'server-tls'), { recursive: true })
    const { code, stdout } = await start().program.exited
    expect(code).toBe(1)
    expect(stdout.toString()).toContain('tls.crt')
  })
})

async function presented(port: number): Promise<string> {
  const socket = connectTls({ port, host: '127.0.0.1', servername: 'localhost', rejectUnauthorized: false })
  await new Promise((resolve, reject) => socket.once('secureConnect', resolve).once('error', reject))
  const { fingerprint256 } = socket.getPeerCertificate()
  socket.destroy()
  return fingerprint256.replaceAll(':', '').toLowerCase()
}
