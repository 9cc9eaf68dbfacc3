import { existsSync, readFileSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:https'
import type { AddressInfo } from 'node:net'
import { delimiter, dirname, join } from 'node:path'
import { gunzipSync } from 'node:zlib'
import { parseTar } from 'nanotar'
import { afterAll, beforeAll, describe, expect, inject, it, vi } from 'vitest'
import {
  CONFIG_MAPS,
  DEPLOYMENTS,
  DEVICES,
  HUBS,
  type Hub,
  NETWORKS,
  ROUTES,
  SECRETS,
  type Secret,
} from '../operator/api/resources.ts'
import {
  applyQuickstart,
  ROOT,
  Stage,
  textOf,
  untilCondition,
  untilReady,
} from '../operator/operator.fixture.ts'
import type { KubeObject, Resource } from '../operator/runtime/resource.ts'
import { makeServerCertificate } from '../test-support/openssl.ts'
import { runProgram as runExternal } from '../test-support/run-program.ts'
import { makeTempDir } from '../test-support/temp-dir.ts'
import { hubletHere } from './hublet-here.fixture.ts'

/** In every place of a namespace that may hold a secret. */
const CANARY = 'canary-7d1f'
const PODS: Resource = { apiVersion: 'v1', kind: 'Pod', plural: 'pods', namespaced: true }
const EVENTS: Resource = { apiVersion: 'v1', kind: 'Event', plural: 'events', namespaced: true }
const LOG_LINE = 'a line that is worth reading'

const ownKubeConfig = process.env['KUBECONFIG']
let stage: Stage
let folder: string
let kubelet: Server

function useKubeConfig(text: string): void {
  const path = join(folder, 'kubeconfig')
  writeFileSync(path, text, { mode: 0o600 })
  process.env['KUBECONFIG'] = path
}

beforeAll(async () => {
  stage = await Stage.create('cli')
  folder = makeTempDir('cli')
  useKubeConfig(inject('kubeConfig'))
  stage.start()
  await applyQuickstart(stage.space)
  await untilReady(stage.space, HUBS, ['garden'])
  await untilReady(stage.space, DEVICES, ['thermometer', 'dashboard', 'pump'])
  await untilReady(stage.space, NETWORKS, ['web', 'sigfox'])
  // A hub can be Ready before it has counted all of its devices.
  await vi.waitFor(
    async () => expect((await stage.space.get<Hub>(HUBS, 'garden')).status).toMatchObject({ devices: 3 }),
    { timeout: 60_000, interval: 50 },
  )
})
afterAll(async () => {
  if (ownKubeConfig === undefined) delete process.env['KUBECONFIG']
  else process.env['KUBECONFIG'] = ownKubeConfig
  kubelet?.close()
  await stage?.close()
})

const credentials = (device: string, ...args: string[]) =>
  hubletHere('credentials', device, '--out', join(folder, device), ...here(), ...args)
const here = () => ['--namespace', stage.space.name]

describe('hublet status', () => {
  it('ends with 0 when everything is ready', async () => {
    const { code, stdout, stderr } = await hubletHere('status', ...here())
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    expect(stdout).toMatch(/^HUB +READY +REASON +DEVICES +CONNECTED +ENDPOINT\ngarden +True +Succeeded +3 /)
    expect(stdout).toContain('devices: 3 of 3 ready; networks: 2 of 2 ready; routes: 0 of 0 ready')
  })

  it('ends with 1 and says what is not ready, and why', async () => {
    await stage.space.post(DEVICES, 'early', { spec: { hubRef: { name: 'later' } } })
    await untilCondition(stage.space, DEVICES, 'early', { type: 'Reconciling' })
    const { code, stdout } = await hubletHere('status', ...here())
    expect(code).toBe(1)
    expect(stdout).toMatch(/Not ready:\n {2}Device early +HubNotFound +.*later/)
    // Which is nothing to the hub that it does not belong to.
    expect((await hubletHere('status', 'garden', ...here())).code).toBe(0)
  })

  it.each([
    ['a hub that is not there', ['status', 'other'], 'expected Hub other in namespace'],
    ['a context that is not there', ['status', '--context', 'other'], '--context: expected one of'],
  ])('says so of %s', async (_, args, text) => {
    expect(await hubletHere(...args, ...here())).toMatchObject({
      code: 1,
      stderr: expect.stringContaining(text),
    })
  })
})

it('kubectl finds hublet as its plugin, with the kubeconfig that kubectl has', async () => {
  // As npm links it: by its name in a folder of PATH.
  symlinkSync(join(ROOT, 'cli/main.ts'), join(folder, 'kubectl-hublet'))
  const { code, stdout } = await runExternal(inject('kubectl'), ['hublet', 'status', 'garden', ...here()], {
    env: { PATH: [folder, dirname(process.execPath), process.env['PATH']].join(delimiter) },
    timeoutMs: 90_000,
  })
  expect(code).toBe(0)
  expect(stdout.toString()).toMatch(/^HUB .*\ngarden +True/)
})

describe('hublet credentials', () => {
  it('writes what the Secret of the device has, for the owner alone, and how to connect', async () => {
    const { code, stdout } = await credentials('thermometer')
    expect(code).toBe(0)
    const secret = await stage.space.get<Secret>(SECRETS, 'device-thermometer-tls')
    for (const name of ['ca.crt', 'tls.crt', 'tls.key']) {
      const path = join(folder, 'thermometer', name)
      expect(readFileSync(path, 'utf8')).toBe(textOf(secret, name))
      expect(statSync(path).mode & 0o777).toBe(0o600)
    }
    expect(statSync(join(folder, 'thermometer')).mode & 0o777).toBe(0o700)
    expect(stdout).toContain(`--cert ${folder}/thermometer/tls.crt --key ${folder}/thermometer/tls.key`)
    expect(stdout).not.toContain('PRIVATE KEY')
  })

  it('replaces files only when told so', async () => {
    const again = await credentials('thermometer')
    expect(again).toMatchObject({ code: 1, stderr: expect.stringContaining('not replaced without --force') })
    expect((await credentials('thermometer', '--force')).code).toBe(0)
  })

  it.each([
    ['a device that is not there', 'nobody', 'the cluster refuses: '],
    ['a device without a certificate of ours', 'early', 'expected a certificate that the operator made'],
  ])('says so of %s', async (_, device, text) => {
    const refused = await credentials(device)
    expect(refused).toMatchObject({ code: 1, stderr: expect.stringContaining(text) })
    expect(existsSync(join(folder, device))).toBe(false)
  })
})

/** Stands where the API server looks for the kubelet of a node: all that a log needs of one. */
async function startKubelet(): Promise<number> {
  const { server } = await makeServerCertificate()
  kubelet = createServer({ cert: server.certPem, key: server.keyPem }, ({ url = '' }, response) => {
    if (url.includes('previous=true')) response.writeHead(400).end('no previous container')
    else response.end(`${LOG_LINE}\nAuthorization: Bearer ${CANARY}\npassword=${CANARY}\n`)
  })
  await new Promise<void>((resolve) => kubelet.listen(0, '127.0.0.1', resolve))
  return (kubelet.address() as AddressInfo).port
}

/** The pod that the Deployment's controller would make, on a node that answers for its logs. */
async function startPod(): Promise<void> {
  const node = `node-${stage.space.name}`
  const Port = await startKubelet()
  const { client } = stage.space
  await client.request({ method: 'POST', path: '/api/v1/nodes', body: { metadata: { name: node } } })
  await client.request({
    method: 'PATCH',
    path: `/api/v1/nodes/${node}/status`,
    contentType: 'application/merge-patch+json',
    body: {
      status: {
        addresses: [{ type: 'InternalIP', address: '127.0.0.1' }],
        daemonEndpoints: { kubeletEndpoint: { Port } },
      },
    },
  })
  const { spec } = await stage.space.get<
    KubeObject & { spec: { template: { metadata: object; spec: object } } }
  >(DEPLOYMENTS, 'hub-garden')
  const { template } = spec
  const metadata = { ...template.metadata, annotations: { 'vault.example.com/secret': CANARY } }
  await stage.space.post(PODS, 'hub-garden-0', { metadata, spec: { ...template.spec, nodeName: node } })
}

async function plantCanaries(): Promise<void> {
  const { space } = stage
  await space.post(SECRETS, 'mine', {
    metadata: { annotations: { 'kubectl.kubernetes.io/last-applied-configuration': CANARY } },
    stringData: { password: CANARY },
  })
  await space.post(CONFIG_MAPS, 'mine', {
    metadata: { labels: { 'app.kubernetes.io/name': 'hublet' } },
    data: { config: `url=https://user:${CANARY}@example.com` },
  })
  await space.post(ROUTES, 'out', {
    metadata: { annotations: { 'kubectl.kubernetes.io/last-applied-configuration': CANARY } },
    spec: {
      hubRef: { name: 'garden' },
      topic: '#',
      rest: { url: `https://sink/hook?key=${CANARY}`, headers: [{ name: 'X-Key', value: CANARY }] },
    },
  })
  await space.post(EVENTS, 'told', {
    involvedObject: { kind: 'Route', name: 'out', namespace: space.name },
    reason: 'Failed',
    message: `POST https://sink/hook?key=${CANARY} refused, token: ${CANARY}`,
  })
}

/** File of the bundle → its text. */
function unpack(path: string): Map<string, string> {
  const files = parseTar(Uint8Array.from(gunzipSync(readFileSync(path))))
  return new Map(files.map(({ name, text }) => [name.replace('hublet-report/', ''), text]))
}

describe('hublet report', () => {
  it('has objects, events, logs and versions of the namespace, and none of its secrets', async () => {
    await startPod()
    await plantCanaries()
    const bundle = join(folder, 'report.tar.gz')
    const { code, stderr } = await hubletHere('report', '--out', bundle, ...here())
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    expect(statSync(bundle).mode & 0o777).toBe(0o600)
    const files = unpack(bundle)
    const json = (name: string) => JSON.parse(files.get(name) ?? '[]')
    expect(json('objects/hubs.json')).toMatchObject([
      { kind: 'Hub', status: { conditions: [{ type: 'Ready' }] } },
    ])
    expect(json('objects/devices.json')).toHaveLength(4)
    expect(json('objects/deployments.json')).toMatchObject([{ metadata: { name: 'hub-garden' } }])
    expect(json('objects/pods.json')).toMatchObject([{ metadata: { name: 'hub-garden-0' } }])
    expect(json('events.json').map(({ message }: { message: string }) => message)).toContain(
      'POST https://sink/hook?<redacted> refused, token: <redacted>',
    )
    expect(files.get('logs/hub-garden-0.broker.log')).toContain(LOG_LINE)
    expect(files.get('logs/hub-garden-0.routes.log')).toContain(LOG_LINE)
    expect(json('kubernetes-version.json')).toHaveProperty('gitVersion')
    expect(json('summary.json')).toMatchObject({ about: stage.space.name })
    expect(files.get('errors.txt')).toBe('')
    const all = [...files.values()].join('\n')
    expect(all).not.toContain(CANARY)
    for (const secret of await stage.space.list<Secret>(SECRETS))
      for (const value of Object.values(secret.data ?? {})) {
        if (value.length < 40) continue
        expect(all, secret.metadata.name).not.toContain(value)
        const text = Buffer.from(value, 'base64').toString()
        if (!text.includes('BEGIN CERTIFICATE')) expect(all, secret.metadata.name).not.toContain(text)
      }
    expect(all).toContain('device-pump-tls')
  })

  it('of one hub leaves the others out', async () => {
    const bundle = join(folder, 'garden.tar.gz')
    expect((await hubletHere('report', '--hub', 'garden', '--out', bundle, ...here())).code).toBe(0)
    const devices = JSON.parse(unpack(bundle).get('objects/devices.json') ?? '[]') as KubeObject[]
    expect(devices.map(({ metadata }) => metadata.name).sort()).toEqual(['dashboard', 'pump', 'thermometer'])
  })

  it('does not replace a file', async () => {
    const refused = await hubletHere('report', '--out', join(folder, 'report.tar.gz'), ...here())
    expect(refused).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('there is such a file already'),
    })
  })
})

it('a cluster that cannot be reached is told of in one line', async () => {
  useKubeConfig(inject('kubeConfig').replaceAll(/https:\/\/[^"\s]+/g, 'https://127.0.0.1:9'))
  const { code, stderr } = await hubletHere('status')
  expect(code).toBe(1)
  expect(stderr).toMatch(/^the cluster cannot be reached: .*ECONNREFUSED\n$/)
})
