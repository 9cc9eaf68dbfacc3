import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, inject, it } from 'vitest'
import { parseAllDocuments } from 'yaml'
import { validate } from '../crds/validate.ts'
import { DEVICES, type Device, HUBS, NETWORKS } from '../operator/api/resources.ts'
import { installKinds } from '../operator/operator.fixture.ts'
import { TestNamespace } from '../test-support/cluster.ts'
import { makeTempDir } from '../test-support/temp-dir.ts'
import { hubletHere } from './hublet-here.fixture.ts'

let space: TestNamespace
const ownKubeConfig = process.env['KUBECONFIG']

beforeEach(async () => {
  space = await TestNamespace.create('cli')
  await installKinds(space.client)
  const kubeConfig = join(makeTempDir('kube'), 'config')
  writeFileSync(kubeConfig, inject('kubeConfig'), { mode: 0o600 })
  process.env['KUBECONFIG'] = kubeConfig
  await space.post(HUBS, 'plant', { spec: { messaging: { retained: false } } })
  await space.post(DEVICES, 'sn-1-0011aabb', {
    metadata: { labels: { 'iot.hublet.dev/provisioned': 'true', site: 'north' }, finalizers: ['test/hold'] },
    spec: {
      hubRef: { name: 'plant' },
      name: 'SN 1',
      approved: false,
      messageFilters: { publish: { policy: 'Accept', topics: ['{{ device.name }}/#'] } },
    },
  })
  await space.post(DEVICES, 'lamp', { spec: { hubRef: { name: 'plant' }, allowInsecure: true } })
})
afterEach(async () => {
  if (ownKubeConfig === undefined) delete process.env['KUBECONFIG']
  else process.env['KUBECONFIG'] = ownKubeConfig
  await space.merge(DEVICES, 'sn-1-0011aabb', { metadata: { finalizers: null } })
  await space.remove()
})

const hublet = (...args: string[]) => hubletHere(...args, '-n', space.name)

it('hublet approve lets a device in by the name of its object or its own, all that are named or none', async () => {
  const approved = async () => (await space.get<Device>(DEVICES, 'sn-1-0011aabb')).spec.approved
  const wrong = await hublet('approve', 'SN 1', 'SN 2')
  expect(wrong).toMatchObject({ code: 1, stderr: 'hublet: "SN 2": expected one device, got 0\n' })
  expect(await approved()).toBe(false)
  expect(await hublet('approve', 'SN 1')).toMatchObject({
    code: 0,
    stdout: 'device sn-1-0011aabb approved\n',
  })
  expect(await approved()).toBe(true)
  const again = await hublet('approve', 'sn-1-0011aabb', '--hub', 'plant')
  expect(again).toMatchObject({ code: 0, stdout: 'device sn-1-0011aabb was approved already\n' })
})

it('hublet export prints what a person would have written of the devices that made themselves known', async () => {
  const { code, stdout } = await hublet('export')
  expect(code).toBe(0)
  const [manifest, ...others] = parseAllDocuments(stdout).map((document) => document.toJS())
  expect(others).toEqual([])
  expect(validate(manifest).valid).toBe(true)
  expect(manifest.metadata).toEqual({
    name: 'sn-1-0011aabb',
    namespace: space.name,
    labels: { 'iot.hublet.dev/provisioned': 'true', site: 'north' },
  })
  expect(Object.keys(manifest).sort()).toEqual(['apiVersion', 'kind', 'metadata', 'spec'])
})

it('hublet can-i answers for the objects of a cluster, by the rule that decides', async () => {
  const lamp = await hublet('can-i', 'lamp', 'publish', 'a', '--retain')
  expect(lamp).toMatchObject({ code: 1, stdout: expect.stringContaining('RETAINED_FORBIDDEN') })
  expect(await hublet('can-i', 'lamp', 'subscribe', '#')).toMatchObject({ code: 0 })
  const ways = await hublet('can-i', 'lamp', 'connect')
  expect(ways.stdout).toMatch(/mqtt +by its id +yes/)
  const pending = await hublet('can-i', 'SN 1', 'publish', 'SN 1/a')
  expect(pending).toMatchObject({ code: 1, stdout: expect.stringContaining('not approved yet') })
  // By token: a program of the cluster, and whoever has that of a network.
  await space.post(DEVICES, 'reports', {
    spec: { hubRef: { name: 'plant' }, serviceAccount: { name: 'reports' } },
  })
  await space.post(NETWORKS, 'web', { spec: { hubRef: { name: 'plant' }, type: 'REST', topicPrefix: 'web' } })
  const token = `a token of ServiceAccount ${space.name}/reports for hub-plant.${space.name}.svc is its password`
  expect((await hublet('can-i', 'reports', 'connect')).stdout).toContain(token)
  const web = await hublet('can-i', 'web', 'publish', 'a', '--network')
  expect(web).toMatchObject({ code: 0, stdout: expect.stringContaining('arrives on web/a') })
  const unknown = await hublet('can-i', 'nobody', 'connect')
  expect(unknown).toMatchObject({
    code: 1,
    stderr: 'hublet: expected a device of a hub here, got "nobody"\n',
  })
})
