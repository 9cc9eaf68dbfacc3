import { expect, it } from 'vitest'
import { makeHub } from '../compile/manifests.fixture.ts'
import { redisHost, redisObjects, redisStatefulSet } from './redis.ts'
import { SETTINGS } from './settings.fixture.ts'

const SELECTOR = {
  'app.kubernetes.io/name': 'hublet',
  'app.kubernetes.io/component': 'redis',
  'iot.hublet.dev/hub': 'home',
}
const LABELS = {
  ...SELECTOR,
  'app.kubernetes.io/part-of': 'hublet',
  'app.kubernetes.io/managed-by': 'hublet',
}
const base64 = (text: string) => Buffer.from(text).toString('base64')
const server = {
  config: 'conf',
  adminPassword: 'admin',
  certificate: { certificatePem: 'CERT', privateKeyPem: 'KEY' },
  caPem: 'CA',
}
const hub = makeHub({ redis: { managed: { storageSize: '2Gi', storageClassName: 'fast' } } })
const meta = (name: string) => ({ name, namespace: 'farm', labels: LABELS })

it('a managed Redis is a Secret, an account, a policy, a Service and a StatefulSet', () => {
  const objects = redisObjects(hub, server, SETTINGS)
  expect(objects.map(({ resource, object }) => [resource.kind, object.metadata.name])).toEqual([
    ['Secret', 'hub-home-redis-server'],
    ['ServiceAccount', 'hub-home-redis'],
    ['NetworkPolicy', 'hub-home-redis'],
    ['Service', 'hub-home-redis'],
    ['StatefulSet', 'hub-home-redis'],
  ])
  const [secret, account, policy, service] = objects.map(({ object }) => object)
  expect(secret).toEqual({
    metadata: meta('hub-home-redis-server'),
    type: 'kubernetes.io/tls',
    data: {
      'redis.conf': base64('conf'),
      password: base64('admin'),
      'tls.crt': base64('CERT'),
      'tls.key': base64('KEY'),
      'ca.crt': base64('CA'),
    },
  })
  expect(account).toEqual({ metadata: meta('hub-home-redis'), automountServiceAccountToken: false })
  expect(policy).toEqual({
    metadata: meta('hub-home-redis'),
    spec: {
      podSelector: { matchLabels: SELECTOR },
      policyTypes: ['Ingress', 'Egress'],
      ingress: [
        {
          from: [
            { podSelector: { matchLabels: { ...SELECTOR, 'app.kubernetes.io/component': 'broker' } } },
            {
              namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': 'hublet-system' } },
              podSelector: {
                matchLabels: {
                  'app.kubernetes.io/name': 'hublet',
                  'app.kubernetes.io/component': 'operator',
                },
              },
            },
          ],
          ports: [{ protocol: 'TCP', port: 6379 }],
        },
      ],
    },
  })
  expect(service).toEqual({
    metadata: meta('hub-home-redis'),
    spec: {
      type: 'ClusterIP',
      selector: SELECTOR,
      ports: [{ name: 'redis', protocol: 'TCP', port: 6379, targetPort: 6379 }],
    },
  })
})

it('its StatefulSet is restricted, keeps its data on a volume and starts anew with another configuration', () => {
  expect(redisStatefulSet(hub, server, SETTINGS).object).toEqual({
    metadata: meta('hub-home-redis'),
    spec: {
      replicas: 1,
      serviceName: 'hub-home-redis',
      revisionHistoryLimit: 3,
      persistentVolumeClaimRetentionPolicy: { whenDeleted: 'Delete', whenScaled: 'Retain' },
      selector: { matchLabels: SELECTOR },
      template: {
        metadata: {
          labels: LABELS,
          annotations: { 'iot.hublet.dev/redis-config': expect.stringMatching(/^[0-9a-f]{16}$/) },
        },
        spec: {
          serviceAccountName: 'hub-home-redis',
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
          containers: [
            {
              name: 'redis',
              image: 'registry.example/valkey:8',
              args: ['/etc/hublet/redis-server/redis.conf'],
              ports: [{ name: 'redis', containerPort: 6379, protocol: 'TCP' }],
              readinessProbe: { tcpSocket: { port: 'redis' }, periodSeconds: 5 },
              livenessProbe: { tcpSocket: { port: 'redis' }, periodSeconds: 10, failureThreshold: 6 },
              resources: { requests: { cpu: '100m', memory: '128Mi' } },
              securityContext: {
                allowPrivilegeEscalation: false,
                readOnlyRootFilesystem: true,
                capabilities: { drop: ['ALL'] },
              },
              volumeMounts: [
                { name: 'data', mountPath: '/data' },
                { name: 'server', mountPath: '/etc/hublet/redis-server', readOnly: true },
              ],
            },
          ],
          volumes: [
            {
              name: 'server',
              secret: {
                secretName: 'hub-home-redis-server',
                defaultMode: 0o440,
                items: ['redis.conf', 'tls.crt', 'tls.key', 'ca.crt'].map((key) => ({ key, path: key })),
              },
            },
          ],
        },
      },
      volumeClaimTemplates: [
        {
          apiVersion: 'v1',
          kind: 'PersistentVolumeClaim',
          metadata: { name: 'data' },
          spec: {
            accessModes: ['ReadWriteOnce'],
            storageClassName: 'fast',
            resources: { requests: { storage: '2Gi' } },
          },
        },
      ],
    },
  })
  const annotations = (config: string) =>
    JSON.stringify(redisStatefulSet(hub, { ...server, config }, SETTINGS).object)
  expect(annotations('conf')).not.toBe(annotations('other'))
})

it('is reached by the name that its certificate carries', () => {
  expect(redisHost(hub, SETTINGS)).toBe('hub-home-redis.farm.svc.cluster.local')
})
