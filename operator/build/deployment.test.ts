import { describe, expect, it } from 'vitest'
import { HUB_UID, makeHub } from '../compile/manifests.fixture.ts'
import { brokerDeployment, redisDigest } from './deployment.ts'
import { SETTINGS } from './settings.fixture.ts'

interface PodSpec {
  containers: Array<Record<string, unknown>>
  initContainers: Array<Record<string, unknown>>
  volumes: unknown[]
}
interface Built {
  metadata: object
  spec: { template: { metadata: Record<string, unknown>; spec: PodSpec & Record<string, unknown> } }
}

const build = (spec: Record<string, unknown> = {}, settings = SETTINGS) =>
  brokerDeployment(makeHub(spec), settings, 'digest').object as unknown as Built

const SELECTOR = {
  'app.kubernetes.io/name': 'hublet',
  'app.kubernetes.io/component': 'broker',
  'iot.hublet.dev/hub': 'home',
}
const LABELS = {
  ...SELECTOR,
  'app.kubernetes.io/part-of': 'hublet',
  'app.kubernetes.io/managed-by': 'hublet',
}
const SECURITY = {
  allowPrivilegeEscalation: false,
  readOnlyRootFilesystem: true,
  capabilities: { drop: ['ALL'] },
}
const COMMON_ENV = [
  { name: 'HUBLET_HUB_UID', value: HUB_UID },
  { name: 'HUBLET_HUB_NAME', value: 'home' },
  { name: 'HUBLET_HUB_NAMESPACE', value: 'farm' },
  { name: 'HUBLET_POD_NAME', valueFrom: { fieldRef: { apiVersion: 'v1', fieldPath: 'metadata.name' } } },
  { name: 'HUBLET_REDIS_DURABILITY', value: 'Fsync' },
  { name: 'HUBLET_LOG_LEVEL', value: 'info' },
]
const spread = (topologyKey: string) => ({
  maxSkew: 1,
  topologyKey,
  whenUnsatisfiable: 'ScheduleAnyway',
  labelSelector: { matchLabels: SELECTOR },
})
const tcp = (name: string, containerPort: number) => ({ name, containerPort, protocol: 'TCP' })
const health = (path: string, times: object) => ({ httpGet: { path, port: 'health' }, ...times })

const ROUTES = {
  name: 'routes',
  image: 'registry.example/hublet:1',
  command: ['node', 'sidecar/main.ts'],
  restartPolicy: 'Always',
  env: [...COMMON_ENV, { name: 'HUBLET_ROUTES_ALLOW_PRIVATE', value: 'false' }],
  ports: [tcp('routes-metrics', 9091), tcp('routes-health', 8082)],
  livenessProbe: {
    httpGet: { path: '/livez', port: 'routes-health' },
    periodSeconds: 10,
    failureThreshold: 6,
  },
  resources: { requests: { cpu: '20m', memory: '64Mi' } },
  securityContext: SECURITY,
  volumeMounts: [
    { name: 'redis', mountPath: '/etc/hublet/redis', readOnly: true },
    { name: 'routes', mountPath: '/etc/hublet/routes', readOnly: true },
    { name: 'tmp', mountPath: '/tmp' },
  ],
}
const BROKER = {
  name: 'broker',
  image: 'registry.example/hublet:1',
  command: ['node', 'broker/main.ts'],
  env: [
    ...COMMON_ENV,
    { name: 'HUBLET_LISTENERS', value: 'mqtt,mqtts,ws,wss,https' },
    { name: 'HUBLET_REDIS_GRACE_SECONDS', value: '60' },
  ],
  ports: [
    tcp('mqtt', 1883),
    tcp('mqtts', 8883),
    tcp('ws', 8083),
    tcp('wss', 8084),
    tcp('https', 8443),
    tcp('metrics', 9090),
    tcp('health', 8081),
  ],
  startupProbe: health('/livez', { periodSeconds: 2, failureThreshold: 150 }),
  livenessProbe: health('/livez', { periodSeconds: 10, failureThreshold: 3 }),
  readinessProbe: health('/readyz', { periodSeconds: 2, failureThreshold: 5 }),
  resources: { requests: { cpu: '100m', memory: '128Mi' } },
  securityContext: SECURITY,
  volumeMounts: [
    { name: 'server-tls', mountPath: '/etc/hublet/server-tls', readOnly: true },
    { name: 'redis', mountPath: '/etc/hublet/redis', readOnly: true },
    { name: 'tmp', mountPath: '/tmp' },
  ],
}

describe('the Deployment of a hub', () => {
  it('holds broker and route worker, restricted, without a token, one new pod before the old one goes', () => {
    expect(build()).toEqual({
      metadata: { name: 'hub-home', namespace: 'farm', labels: LABELS },
      spec: {
        replicas: 1,
        revisionHistoryLimit: 3,
        strategy: { type: 'RollingUpdate', rollingUpdate: { maxUnavailable: 0, maxSurge: 1 } },
        selector: { matchLabels: SELECTOR },
        template: {
          metadata: { labels: LABELS, annotations: { 'iot.hublet.dev/redis': 'digest' } },
          spec: {
            serviceAccountName: 'hub-home',
            automountServiceAccountToken: false,
            enableServiceLinks: false,
            terminationGracePeriodSeconds: 60,
            securityContext: {
              runAsNonRoot: true,
              runAsUser: 65_532,
              runAsGroup: 65_532,
              fsGroup: 65_532,
              seccompProfile: { type: 'RuntimeDefault' },
            },
            topologySpreadConstraints: [
              spread('kubernetes.io/hostname'),
              spread('topology.kubernetes.io/zone'),
            ],
            initContainers: [ROUTES],
            containers: [BROKER],
            volumes: [
              {
                name: 'server-tls',
                secret: {
                  secretName: 'hub-home-server-tls',
                  defaultMode: 0o440,
                  items: [
                    { key: 'tls.crt', path: 'tls.crt' },
                    { key: 'tls.key', path: 'tls.key' },
                  ],
                },
              },
              { name: 'redis', secret: { secretName: 'hub-home-redis', defaultMode: 0o440 } },
              { name: 'routes', secret: { secretName: 'hub-home-routes', defaultMode: 0o440 } },
              { name: 'tmp', emptyDir: { medium: 'Memory', sizeLimit: '16Mi' } },
            ],
          },
        },
      },
    })
  })

  it('takes over what the hub adds to its pods, without giving up its own labels', () => {
    const pod = {
      labels: { team: 'a', 'iot.hublet.dev/hub': 'another' },
      annotations: { note: 'b' },
      nodeSelector: { disk: 'ssd' },
      tolerations: [{ key: 'iot', operator: 'Exists' }],
      affinity: { nodeAffinity: {} },
      priorityClassName: 'high',
      imagePullSecrets: [{ name: 'pull' }],
      resources: {
        broker: { requests: { cpu: '2' }, limits: { memory: '1Gi' } },
        routes: { limits: { cpu: '1' } },
      },
    }
    const { template } = build({ pod }).spec
    expect(template.metadata).toEqual({
      labels: { team: 'a', ...LABELS },
      annotations: { note: 'b', 'iot.hublet.dev/redis': 'digest' },
    })
    expect(template.spec).toMatchObject({
      nodeSelector: { disk: 'ssd' },
      tolerations: [{ key: 'iot', operator: 'Exists' }],
      affinity: { nodeAffinity: {} },
      priorityClassName: 'high',
      imagePullSecrets: [{ name: 'pull' }],
    })
    expect(template.spec.containers[0]?.['resources']).toEqual({
      requests: { cpu: '2' },
      limits: { memory: '1Gi' },
    })
    expect(template.spec.initContainers[0]?.['resources']).toEqual({
      requests: { cpu: '20m', memory: '64Mi' },
      limits: { cpu: '1' },
    })
  })

  it('opens the listeners of the hub, on ports that a change of the hub does not move', () => {
    const listeners = { mqtt: { enabled: false }, wss: { port: 443 }, http: { enabled: true, port: 80 } }
    const [broker] = build({ listeners }).spec.template.spec.containers
    expect(broker?.['env']).toContainEqual({
      name: 'HUBLET_LISTENERS',
      value: 'mqtts,ws,wss,http,https',
    })
    expect(broker?.['ports']).toEqual([
      tcp('mqtts', 8883),
      tcp('ws', 8083),
      tcp('wss', 8084),
      tcp('http', 8080),
      tcp('https', 8443),
      tcp('metrics', 9090),
      tcp('health', 8081),
    ])
  })

  it('stays the same pod when what changes reaches it by other ways', () => {
    const before = build().spec.template
    const after = build({
      enabled: false,
      listeners: { mqtts: { port: 8884 } },
      limits: { payloadBytes: 1 },
      serverTLS: { secretRef: { name: 'mine' } },
      service: { type: 'LoadBalancer' },
    }).spec.template
    expect(after).toEqual(before)
  })

  it('is another pod with another Redis, and the same with another password of it', () => {
    const access = { url: 'redis://one', username: 'a', password: 'x' }
    expect(redisDigest({ ...access, password: 'y' })).toBe(redisDigest(access))
    expect(redisDigest({ ...access, url: 'redis://two' })).not.toBe(redisDigest(access))
    expect(redisDigest({ ...access, username: 'b' })).not.toBe(redisDigest(access))
  })

  it('has one broker pod whatever the hub asks for', () => {
    expect(build({ replicas: 3 }).spec).toMatchObject({ replicas: 1 })
  })

  it('tells durability, grace and log level, and a pull policy that was set', () => {
    const redis = { url: 'redis://r', durability: 'Relaxed', grace: '1m500ms' }
    const settings = { ...SETTINGS, logLevel: 'debug', imagePullPolicy: 'Never' as const }
    const [broker] = build({ redis }, settings).spec.template.spec.containers
    expect(broker?.['imagePullPolicy']).toBe('Never')
    expect(broker?.['env']).toEqual(
      expect.arrayContaining([
        { name: 'HUBLET_REDIS_DURABILITY', value: 'Relaxed' },
        { name: 'HUBLET_REDIS_GRACE_SECONDS', value: '61' },
        { name: 'HUBLET_LOG_LEVEL', value: 'debug' },
      ]),
    )
  })
})
