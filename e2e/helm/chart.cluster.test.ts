import { readdir, readFile, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, inject, it, vi } from 'vitest'
import { parse } from 'yaml'
import { RELEASES, VALUES } from '../../charts/values-matrix.fixture.ts'
import { REFUSED_VALUES, WRONG_VALUES } from '../../charts/wrong-values.fixture.ts'
import { readOperatorConfig } from '../../operator/config.ts'
import { OPERATOR_ACCOUNT, type RbacObject, rbacObjects } from '../../operator/rbac.ts'
import { isConflict } from '../../operator/runtime/api-error.ts'
import type { KubeObject } from '../../operator/runtime/resource.ts'
import { TestNamespace } from '../../test-support/cluster.ts'
import { runProgram } from '../../test-support/run-program.ts'
import { makeTempDir, removeTempDir } from '../../test-support/temp-dir.ts'
import { DEPLOY_MANIFEST, deployManifest } from './deploy-manifest.ts'
import { findTool } from './find-tool.ts'
import { CHARTS, Helm, readObjects } from './helm.ts'
import { rightsOf } from './rights.ts'

const PLURALS: Record<string, string> = {
  NetworkPolicy: 'networkpolicies',
}
const CLUSTER_KINDS = /^(Namespace|ClusterRole|ClusterRoleBinding|CustomResourceDefinition)$/
const CRDS = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions'

/** Stand in for kinds of the Prometheus operator, to be served; what is in them is looked at here. */
const MONITORING_CRDS = [
  ['PodMonitor', 'podmonitors'],
  ['ServiceMonitor', 'servicemonitors'],
  ['PrometheusRule', 'prometheusrules'],
].map(([kind, plural]) => ({
  apiVersion: 'apiextensions.k8s.io/v1',
  kind: 'CustomResourceDefinition',
  metadata: { name: `${plural}.monitoring.coreos.com` },
  spec: {
    group: 'monitoring.coreos.com',
    scope: 'Namespaced',
    names: { kind, plural, singular: kind?.toLowerCase() },
    versions: [
      {
        name: 'v1',
        served: true,
        storage: true,
        schema: { openAPIV3Schema: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true } },
      },
    ],
  },
}))

interface PodTemplate {
  metadata: { labels: Record<string, string> }
  spec: { serviceAccountName: string; containers: Array<{ image: string; args: string[] }> }
}
type Deployment = KubeObject & {
  spec: { selector: { matchLabels: Record<string, string> }; template: PodTemplate }
}

let helm: Helm
let folder: string
let own: TestNamespace
let other: TestNamespace

beforeAll(async () => {
  folder = makeTempDir('helm')
  helm = await Helm.find(folder)
  own = await TestNamespace.create('chart')
  other = await TestNamespace.create('chart-other')
  await own.client.request({
    method: 'PATCH',
    path: `/api/v1/namespaces/${own.name}`,
    contentType: 'application/merge-patch+json',
    body: { metadata: { labels: { 'pod-security.kubernetes.io/enforce': 'restricted' } } },
  })
  for (const body of MONITORING_CRDS) {
    await own.client.request({ method: 'POST', path: CRDS, body }).catch((error) => {
      if (!isConflict(error)) throw error
    })
    const served = `/apis/monitoring.coreos.com/v1/${body.spec.names.plural}`
    await vi.waitFor(() => own.client.request({ method: 'GET', path: served }), {
      timeout: 60_000,
      interval: 100,
    })
  }
  // A finder that has to build takes a few minutes.
}, 20 * 60_000)

afterAll(async () => {
  for (const { metadata } of MONITORING_CRDS)
    await own.client.request({ method: 'DELETE', path: `${CRDS}/${metadata.name}` })
  await own.remove()
  await other.remove()
  removeTempDir(folder)
})

function pathOf({ apiVersion = '', kind = '', metadata }: KubeObject): string {
  const root = apiVersion.includes('/') ? `/apis/${apiVersion}` : `/api/${apiVersion}`
  const scope = CLUSTER_KINDS.test(kind) ? '' : `/namespaces/${metadata.namespace}`
  return `${root}${scope}/${PLURALS[kind] ?? `${kind.toLowerCase()}s`}/${metadata.name}`
}

/** What the API server makes of it; rejects where it refuses. */
const dryRun = (object: KubeObject) =>
  own.client.request({
    method: 'PATCH',
    path: pathOf(object),
    query: { fieldManager: 'test', force: true, dryRun: 'All', fieldValidation: 'Strict' },
    contentType: 'application/apply-patch+yaml',
    body: object,
  })

const deploymentOf = (objects: readonly KubeObject[]) =>
  objects.find(({ kind }) => kind === 'Deployment') as Deployment

/** A pod as the Deployment's controller would make it, which security admission judges. */
async function dryRunPod({ spec: { template } }: Deployment): Promise<void> {
  const { serviceAccountName } = template.spec
  const accounts = `/api/v1/namespaces/${own.name}/serviceaccounts`
  const body = { metadata: { name: serviceAccountName } }
  await own.client.request({ method: 'POST', path: accounts, body }).catch((error) => {
    if (!isConflict(error)) throw error
  })
  await own.client.request({
    method: 'POST',
    path: `/api/v1/namespaces/${own.name}/pods`,
    query: { dryRun: 'All', fieldValidation: 'Strict' },
    body: { ...template, metadata: { ...template.metadata, name: 'pod' } },
  })
}

const render = (values: object, release = 'hublet') =>
  helm.objects({ chart: 'hublet', release, namespace: own.name, values })

describe('the chart hublet', () => {
  it('passes the strict lint, as does hublet-crds', async () => {
    const { code, stdout } = await helm.run('lint', '--strict', `${CHARTS}/hublet`, `${CHARTS}/hublet-crds`)
    expect({ code, text: stdout.toString() }).toMatchObject({
      code: 0,
      text: expect.stringContaining('2 chart(s)'),
    })
  })

  it.each(Object.entries(VALUES))('is accepted by an API server with %s', async (_, values) => {
    const objects = await render(values(other.name))
    for (const object of objects) await dryRun(object)
    const deployment = deploymentOf(objects)
    await dryRunPod(deployment)
    const { labels } = deployment.spec.template.metadata
    expect(labels).toMatchObject(deployment.spec.selector.matchLabels)
    expect(labels).toMatchObject({
      'app.kubernetes.io/name': 'hublet',
      'app.kubernetes.io/component': 'operator',
    })
    // What the operator keeps copies of is told by this label; its own objects are none of them.
    expect(objects.map(({ metadata }) => metadata.labels?.['app.kubernetes.io/managed-by'])).not.toContain(
      'hublet',
    )
  })

  it.each(RELEASES)('is accepted as release %s', async (release) => {
    const objects = await render({ metrics: { podMonitor: { enabled: true } } }, release)
    for (const object of objects) await dryRun(object)
    const keys = objects.map((object) => pathOf(object))
    expect(new Set(keys).size).toBe(keys.length)
  })

  it.each(Object.entries(VALUES))('gives the operator options that it takes with %s', async (_, values) => {
    const given = values(other.name) as { watch?: { namespaces?: string[]; allNamespaces?: boolean } }
    const deployment = deploymentOf(await render(given))
    const [{ args, image }] = deployment.spec.template.spec.containers as [{ args: string[]; image: string }]
    const config = readOperatorConfig(args, {}, own.name)
    const { namespaces = [own.name], allNamespaces = false } = given.watch ?? {}
    expect(config.scope).toEqual(allNamespaces ? 'all' : { namespaces })
    expect(config.settings.image).toBe(image)
    expect(config).toMatchObject({ namespace: own.name, leaseName: deployment.metadata.name })
  })

  it('hands every option on', async () => {
    const values = {
      image: { repository: 'cr.example/h', tag: '9', pullPolicy: 'Never' },
      redisImage: 'cr.example/valkey',
      defaultRedisSecret: 'redis',
      leaderElection: { leaseSeconds: 60, renewSeconds: 40, retrySeconds: 5 },
      concurrency: { hubs: 7, devices: 8, members: 9 },
      clusterDomain: 'cluster.example',
      logLevel: 'debug',
      brokerLogLevel: 'warn',
      routesAllowPrivate: true,
    }
    const { args } = deploymentOf(await render(values)).spec.template.spec.containers[0]!
    expect(readOperatorConfig(args, {}, own.name)).toMatchObject({
      lease: { durationMs: 60_000, renewDeadlineMs: 40_000, retryMs: 5_000 },
      defaultRedisSecret: 'redis',
      settings: {
        image: 'cr.example/h:9',
        imagePullPolicy: 'Never',
        redisImage: 'cr.example/valkey',
        clusterDomain: 'cluster.example',
        logLevel: 'warn',
        routesAllowPrivate: true,
      },
      concurrency: { hub: 7, device: 8, member: 9 },
      logLevel: 'debug',
    })
  })

  it.each(Object.entries(WRONG_VALUES))('refuses %s', async (_, values) => {
    const { code, stderr } = await helm.template({ chart: 'hublet', namespace: own.name, values })
    expect(code).not.toBe(0)
    expect(stderr).toContain("values don't meet the specifications of the schema")
  })

  it.each(Object.entries(REFUSED_VALUES))('refuses %s', async (_, { values, message }) => {
    const { code, stderr } = await helm.template({ chart: 'hublet', namespace: own.name, values })
    expect(code).not.toBe(0)
    expect(stderr).toContain(message)
  })

  it('asks for PodMonitors of operator and brokers that name ports which pods have', async () => {
    const objects = await render({ metrics: { podMonitor: { enabled: true, labels: { release: 'p' } } } })
    const monitors = objects.filter(({ kind }) => kind === 'PodMonitor')
    expect(monitors).toMatchObject([
      {
        metadata: { name: 'hublet', labels: { release: 'p' } },
        spec: { podMetricsEndpoints: [{ port: 'metrics', interval: '30s' }] },
      },
      {
        metadata: { name: 'hublet-brokers' },
        spec: {
          namespaceSelector: { matchNames: [own.name] },
          podMetricsEndpoints: [{ port: 'metrics' }, { port: 'routes-metrics' }],
        },
      },
    ])
  })

  it('asks for ServiceMonitors that select the Services of operator and brokers, each its own', async () => {
    const objects = await render({
      watch: { namespaces: [own.name, other.name] },
      metrics: { serviceMonitor: { enabled: true, labels: { release: 'p' } } },
    })
    type Selecting = KubeObject & { spec: { selector: { matchLabels: Record<string, string> } } }
    const monitors = objects.filter(({ kind }) => kind === 'ServiceMonitor') as Selecting[]
    const services = objects.filter(({ kind }) => kind === 'Service')
    const selected = monitors.map(({ spec }) =>
      services
        .filter(({ metadata: { labels = {} } }) =>
          Object.entries(spec.selector.matchLabels).every(([key, value]) => labels[key] === value),
        )
        .map(({ metadata: { namespace, name } }) => `${namespace}/${name}`),
    )
    expect(selected).toEqual([
      [`${own.name}/hublet-metrics`],
      [`${own.name}/hublet-brokers-metrics`, `${other.name}/hublet-brokers-metrics`],
    ])
    expect(monitors).toMatchObject([
      { metadata: { labels: { release: 'p' } }, spec: { endpoints: [{ port: 'metrics', interval: '30s' }] } },
      {
        spec: {
          namespaceSelector: { matchNames: [own.name, other.name] },
          endpoints: [{ port: 'metrics' }, { port: 'routes-metrics' }],
        },
      },
    ])
    expect(services.at(-1)).toMatchObject({
      spec: {
        selector: { 'app.kubernetes.io/component': 'broker' },
        ports: [{ targetPort: 'metrics' }, { targetPort: 'routes-metrics' }],
      },
    })
  })

  it('has alerts of its own lease, and a dashboard that can be read', async () => {
    const objects = await render({
      fullnameOverride: 'iot-operator',
      metrics: { rules: { enabled: true, labels: { release: 'p' } }, dashboard: { enabled: true } },
    })
    const [rule] = objects.filter(({ kind }) => kind === 'PrometheusRule')
    expect(rule?.metadata).toMatchObject({ name: 'iot-operator', labels: { release: 'p' } })
    expect(JSON.stringify(rule)).toContain('leader_election_master_status{name=~\\"iot-operator\\"}')
    const [config] = objects.filter(({ kind }) => kind === 'ConfigMap') as Array<{
      data: object
      metadata: object
    }>
    expect(config?.metadata).toMatchObject({ labels: { grafana_dashboard: '1' } })
    const [[name, text]] = Object.entries(config?.data ?? {}) as [[string, string]]
    expect(name).toBe('hublet.json')
    expect(JSON.parse(text)).toMatchObject({ title: 'Hublet', panels: expect.any(Array) })
  })
})

describe('the rights that the chart grants', () => {
  const OPERATOR = { leaseName: 'hublet', defaultRedisSecret: 'redis' }
  /** The account is called as the release. */
  const expected = (namespaces: string[], allNamespaces: boolean) =>
    rightsOf(rbacObjects({ ...OPERATOR, operatorNamespace: own.name, namespaces, allNamespaces })).map(
      (line) => line.replace(`/${OPERATOR_ACCOUNT} `, '/hublet '),
    )
  const granted = async (watch: object) =>
    rightsOf((await render({ watch, defaultRedisSecret: 'redis' })) as RbacObject[])

  it.each([
    { title: 'in its own namespace', namespaces: () => [], all: false, bound: () => [own.name] },
    {
      title: 'in other namespaces',
      namespaces: () => [other.name, 'default'],
      all: false,
      bound: () => [other.name, 'default'],
    },
    { title: 'over all namespaces', namespaces: () => [], all: true, bound: () => [own.name] },
    {
      title: 'over all namespaces, working in one',
      namespaces: () => [other.name],
      all: true,
      bound: () => [other.name],
    },
  ])('$title are those that the operator was tested with', async ({ namespaces, all, bound }) => {
    const rights = await granted({ namespaces: namespaces(), allNamespaces: all })
    expect(rights.length).toBeGreaterThan(50)
    expect(rights).toEqual(expected(bound(), all))
  })

  it('are none over the cluster unless it is asked for, and never over Secrets', async () => {
    const scopes = async (watch: object) =>
      (await granted(watch)).filter((line) => line.startsWith('everywhere'))
    expect(await scopes({ namespaces: [other.name] })).toEqual([])
    const wide = await scopes({ allNamespaces: true })
    expect(wide).not.toEqual([])
    expect(wide.filter((line) => !/ (iot\.hublet\.dev|events\.k8s\.io)\//.test(line))).toEqual([])
  })

  it('are bound by Roles, so that who owns a namespace can install the chart there', async () => {
    const kinds = (await render({ rbac: { userRoles: false } })).map(({ kind }) => kind)
    expect(kinds.filter((kind) => CLUSTER_KINDS.test(kind ?? ''))).toEqual([])
  })
})

describe('the chart hublet-crds', () => {
  it('brings the generated kinds, which stay when it goes', async () => {
    const objects = await helm.objects({ chart: 'hublet-crds', namespace: own.name })
    const manifests = path.resolve(CHARTS, '../crds/manifests')
    const files = (await readdir(manifests)).filter((name) => name.endsWith('.yaml'))
    const byName = (a: KubeObject, b: KubeObject) => a.metadata.name!.localeCompare(b.metadata.name!)
    const generated = await Promise.all(
      files.map(async (file) => parse(await readFile(path.join(manifests, file), 'utf8')) as KubeObject),
    )
    const annotations = { 'helm.sh/resource-policy': 'keep' }
    expect(objects.sort(byName)).toEqual(
      generated.sort(byName).map((crd) => ({ ...crd, metadata: { ...crd.metadata, annotations } })),
    )
  })
})

describe('the manifests for kubectl apply -k', () => {
  it('are what the chart says', async () => {
    expect(await readFile(DEPLOY_MANIFEST, 'utf8')).toBe(await deployManifest(helm))
  })

  it('are put together by kustomize, and accepted by an API server', async () => {
    const { code, stdout, stderr } = await runProgram(
      await findTool('kustomize'),
      ['build', path.dirname(DEPLOY_MANIFEST)],
      { timeoutMs: 60_000 },
    )
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    const objects = readObjects(stdout.toString())
    const counts = Object.groupBy(objects, ({ kind }) => kind ?? '')
    expect(counts['CustomResourceDefinition']).toHaveLength(4)
    expect(counts['Deployment']).toHaveLength(1)
    const here = objects.map((object) =>
      object.metadata.namespace === undefined
        ? object
        : { ...object, metadata: { ...object.metadata, namespace: own.name } },
    )
    for (const object of here) await dryRun(object)
    await dryRunPod(deploymentOf(here))
  })
})

describe('helm', () => {
  it('installs, upgrades and uninstalls both charts; the kinds and their objects stay', async () => {
    const kubeConfig = path.join(folder, 'kubeconfig')
    await writeFile(kubeConfig, inject('kubeConfig'), { mode: 0o600 })
    const say = async (...args: string[]) => {
      const { code, stdout, stderr } = await helm.run(...args, '--kubeconfig', kubeConfig, '-n', other.name)
      expect({ code, stderr }).toMatchObject({ code: 0 })
      return stdout.toString()
    }
    // Other tests may have installed the kinds by hand.
    await say('install', 'kinds', `${CHARTS}/hublet-crds`, '--take-ownership')
    const notes = await say('install', 'hublet', `${CHARTS}/hublet`)
    expect(notes).toContain(`It looks for hubs in: ${other.name}.`)
    expect(notes).not.toContain('The kinds are not installed yet')
    const hub = /<<'HUB'\n(.*?)\n {2}HUB/s.exec(notes)?.[1]?.replaceAll(/^ {2}/gm, '')
    const hubs = `/apis/iot.hublet.dev/v1alpha1/namespaces/${other.name}/hubs`
    await own.client.request({ method: 'POST', path: hubs, body: parse(hub ?? '') })
    await say('upgrade', 'hublet', `${CHARTS}/hublet`, '--set', 'replicas=2')
    const deployments = `/apis/apps/v1/namespaces/${other.name}/deployments`
    const { body } = await own.client.request<{ spec: { replicas: number } }>({
      method: 'GET',
      path: `${deployments}/hublet`,
    })
    expect(body.spec.replicas).toBe(2)
    await say('uninstall', 'hublet')
    await say('uninstall', 'kinds')
    const { body: left } = await own.client.request<{ items: KubeObject[] }>({ method: 'GET', path: hubs })
    expect(left.items.map(({ metadata }) => metadata.name)).toEqual(['garden'])
    const { body: rest } = await own.client.request<{ items: KubeObject[] }>({
      method: 'GET',
      path: deployments,
    })
    expect(rest.items).toEqual([])
  })
})
