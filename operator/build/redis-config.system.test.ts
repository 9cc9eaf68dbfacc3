import { randomBytes } from 'node:crypto'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import { afterEach, expect, it } from 'vitest'
import { hubAclUser } from '../../contract/redis-acl.ts'
import { stateKeys, storePrefix } from '../../contract/redis-keys.ts'
import { freePort } from '../../test-support/free-port.ts'
import { RunningProgram } from '../../test-support/run-program.ts'
import { makeTempDir, removeTempDir } from '../../test-support/temp-dir.ts'
import { waitUntil } from '../../test-support/wait.ts'
import { HUB_UID } from '../compile/manifests.fixture.ts'
import { createCa } from '../pki/certificate-authority.ts'
import { issueServerCertificate } from '../pki/issue.ts'
import { newSerial } from '../pki/profile.ts'
import { REDIS_DATA_FOLDER, REDIS_FOLDER, REDIS_PORT, redisConfig } from './redis-config.ts'

const HOST = 'hub-home-redis.farm.svc.cluster.local'
const cleanUps: Array<() => unknown> = []

afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).reverse()) await cleanUp()
})

/** A real redis-server with our configuration; only its folders and its port are others. */
async function start(durability: 'Fsync' | 'Relaxed') {
  const folder = makeTempDir('redis-config')
  cleanUps.push(() => removeTempDir(folder))
  const common = { keyAlgorithm: 'ECDSA-P256', now: Date.now() } as const
  const serial = () => newSerial(randomBytes)
  const ca = await createCa({ ...common, commonName: 'home server CA', days: 10, serial: serial() })
  const pair = await issueServerCertificate({
    ...common,
    ca,
    dnsNames: [HOST],
    ipAddresses: [],
    duration: 86_400_000,
    serial: serial(),
  })
  const config = redisConfig({ hubUid: HUB_UID, durability, adminPassword: 'admin', hubPassword: 'hub' })
  const port = await freePort()
  mkdirSync(join(folder, 'data'))
  const write = (name: string, text: string) => writeFileSync(join(folder, name), text)
  write('tls.crt', pair.certificatePem)
  write('tls.key', pair.privateKeyPem)
  write('ca.crt', ca.certificatePem)
  write(
    'redis.conf',
    config
      .replaceAll(REDIS_FOLDER, folder)
      .replace(`dir ${REDIS_DATA_FOLDER}`, `dir ${join(folder, 'data')}`)
      .replace(`tls-port ${REDIS_PORT}`, `tls-port ${port}`)
      .replace('bind * -::*', 'bind 127.0.0.1'),
  )
  const program = new RunningProgram('redis-server', [join(folder, 'redis.conf')], { timeoutMs: 60_000 })
  cleanUps.push(() => program.stop('SIGKILL'))
  await waitUntil('redis-server listens', () => {
    if (program.ended) throw new Error(`${program.stdout}${program.stderr}`)
    return program.lines.some((line) => line.includes('Ready to accept connections'))
  })
  return (username: string, password: string) => {
    const client = new Redis({
      host: '127.0.0.1',
      port,
      username,
      password,
      tls: { ca: ca.certificatePem, servername: HOST },
      retryStrategy: null,
      disableClientInfo: true,
    })
    client.on('error', () => {})
    cleanUps.push(() => client.disconnect())
    return client
  }
}

it('redis-server takes the configuration, and the user of the hub reaches its own keys only', async () => {
  const connect = await start('Fsync')
  const admin = connect('default', 'admin')
  expect(await admin.config('GET', 'appendfsync')).toEqual(['appendfsync', 'always'])
  expect(await admin.config('GET', 'maxmemory-policy')).toEqual(['maxmemory-policy', 'noeviction'])
  await admin.set(stateKeys(HUB_UID).hub, '{}')
  const hub = connect(hubAclUser(HUB_UID), 'hub')
  expect(await hub.get(stateKeys(HUB_UID).hub)).toBe('{}')
  expect(await hub.set(`${storePrefix(HUB_UID)}x`, '1')).toBe('OK')
  await expect(hub.set(stateKeys(HUB_UID).hub, 'changed')).rejects.toThrow('NOPERM')
  await expect(hub.get(stateKeys('another').hub)).rejects.toThrow('NOPERM')
  await expect(hub.config('GET', '*')).rejects.toThrow('NOPERM')
  await expect(connect('default', 'wrong').ping()).rejects.toThrow()
})

it('a relaxed hub waits for no disk', async () => {
  const admin = (await start('Relaxed'))('default', 'admin')
  expect(await admin.config('GET', 'appendfsync')).toEqual(['appendfsync', 'everysec'])
})
