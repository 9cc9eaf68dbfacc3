import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { HUBS } from '../../operator/api/resources.ts'
import { Site } from './site.fixture.ts'

/** Every container that we bring: what selects its pod, and its name. */
const CONTAINERS = [
  ['app.kubernetes.io/component=operator', 'operator'],
  ['app.kubernetes.io/component=broker', 'broker'],
  ['app.kubernetes.io/component=broker', 'routes'],
] as const
const TOKEN = '/var/run/secrets/kubernetes.io/serviceaccount/token'

let site: Site
beforeAll(async () => {
  site = await Site.install('restricted')
  await site.apply('Hub', 'home', {})
  await site.untilReady(HUBS, ['home'])
})
afterAll(() => site.close())

/** Runs JavaScript in a container: the image has nothing else to run. */
async function inside(selector: string, container: string, script: string): Promise<string> {
  const [pod] = await site.pods(selector)
  const text = await site.kubectl.run(
    ...['exec', pod!.metadata.name!, '-c', container, '--', 'node', '--input-type=module', '-e', script],
  )
  return text.trim()
}

const tried = (code: string) => `
  import fs from 'node:fs'
  import os from 'node:os'
  try { ${code}; console.log('could') } catch (error) { console.log(error.code) }
`

describe.each(CONTAINERS)('a pod of %s, container %s', (selector, container) => {
  it('runs as nobody, with a file system that it can only read', async () => {
    expect(await inside(selector, container, 'console.log(process.getuid(), process.getgid())')).toBe(
      '65532 65532',
    )
    for (const folder of ['/', '/app', '/etc'])
      expect(await inside(selector, container, tried(`fs.writeFileSync('${folder}/x', '')`))).toBe('EROFS')
    expect(await inside(selector, container, tried(`fs.writeFileSync(os.tmpdir() + '/x', '')`))).toBe('could')
  })

  it('has no capability, and gains no privilege', async () => {
    const script = `
      import fs from 'node:fs'
      const lines = fs.readFileSync('/proc/self/status', 'utf8').split('\\n')
      console.log(lines.filter((line) => /^(CapEff|CapPrm|CapBnd|NoNewPrivs|Seccomp):/.test(line)).join(' '))
    `
    expect((await inside(selector, container, script)).replace(/\s+/g, ' ')).toBe(
      'CapPrm: 0000000000000000 CapEff: 0000000000000000 CapBnd: 0000000000000000 NoNewPrivs: 1 Seccomp: 2',
    )
  })

  it('has no shell', async () => {
    const script = `
      import { spawnSync } from 'node:child_process'
      console.log(spawnSync('/bin/sh', ['-c', 'true']).error?.code)
    `
    expect(await inside(selector, container, script)).toBe('ENOENT')
  })
})

describe('a broker pod', () => {
  it('has no token for the API server, and nothing there answers it', async () => {
    const selector = 'app.kubernetes.io/component=broker'
    for (const container of ['broker', 'routes'])
      expect(await inside(selector, container, tried(`fs.readFileSync('${TOKEN}')`))).toBe('ENOENT')
    const script = `
      process.env.NODE_TLS_REJECT_UNAUTHORIZED = '0'
      const path = '/api/v1/namespaces/${site.space.name}/secrets'
      const response = await fetch('https://kubernetes.default.svc' + path).catch((error) => ({ status: error.cause?.code }))
      console.log(response.status)
    `
    // Without an identity it is forbidden; where the network policy is enforced it is not even reached.
    expect(await inside(selector, 'broker', script)).toMatch(
      /^(403|401|ECONNREFUSED|ETIMEDOUT|UND_ERR_CONNECT_TIMEOUT)$/,
    )
  })

  it('has an account that may do nothing', async () => {
    const account = `system:serviceaccount:${site.space.name}:hub-home`
    const rights = await site.kubectl.run('auth', 'can-i', '--list', '--as', account, '--no-headers')
    // What everybody may: ask about itself, and read what the API server says of its own.
    const resources = rights
      .split('\n')
      .flatMap((line) => /^(\S+)\s+\[\]\s+\[\]\s+\[(.*)\]/.exec(line)?.slice(1, 3).join(' ') ?? [])
    expect(
      resources.filter((line) => !/^self\w+\.(authorization|authentication)\.k8s\.io create$/.test(line)),
    ).toEqual([])
  })
})

it('the namespace refuses a pod that is not restricted', async () => {
  const run = site.kubectl.run('run', 'careless', '--image=localhost/none:1', '--restart=Never')
  await expect(run).rejects.toThrow('violates PodSecurity "restricted')
})
