/** A Redis of one hub's own, for people who have none. */
import { createHash } from 'node:crypto'
import type { Hub } from '../../crds/hub.ts'
import { NETWORK_POLICIES, SECRETS, SERVICE_ACCOUNTS, SERVICES, STATEFUL_SETS } from '../api/resources.ts'
import { DEFAULT_NAMESPACE } from '../compile/hub-record.ts'
import { hubRedisServerSecret, hubRedisWorkload, labelsOf, podSelector } from '../compile/names.ts'
import type { CertificateWithKey } from '../pki/profile.ts'
import type { Desired } from '../runtime/apply.ts'
import { RESTRICTED } from './containers.ts'
import { POD_SECURITY, secretVolume } from './deployment.ts'
import { type BuildSettings, desired, type Meta, secretData } from './object.ts'
import { REDIS_DATA_FOLDER, REDIS_FOLDER, REDIS_PORT } from './redis-config.ts'

const CONFIG_ANNOTATION = 'iot.hublet.dev/redis-config'
/** Labels of the operator's own pods. */
export const OPERATOR_LABELS = {
  'app.kubernetes.io/name': 'hublet',
  'app.kubernetes.io/component': 'operator',
}

export interface RedisServer {
  config: string
  adminPassword: string
  certificate: CertificateWithKey
  caPem: string
}

const metaOf = ({ metadata }: Hub, name = hubRedisWorkload(metadata.name)): Meta => ({
  name,
  namespace: metadata.namespace ?? DEFAULT_NAMESPACE,
  labels: labelsOf(metadata.name, 'redis'),
})

/** Host name of a hub's managed Redis, which its certificate carries. */
export const redisHost = ({ metadata }: Hub, { clusterDomain }: BuildSettings): string =>
  `${hubRedisWorkload(metadata.name)}.${metadata.namespace ?? DEFAULT_NAMESPACE}.svc.${clusterDomain}`

/** Everything of the managed Redis, in the order to apply it. */
export const redisObjects = (hub: Hub, server: RedisServer, settings: BuildSettings): Desired[] => [
  redisServerSecret(hub, server),
  desired(SERVICE_ACCOUNTS, metaOf(hub), { automountServiceAccountToken: false }),
  redisNetworkPolicy(hub, settings),
  redisService(hub),
  redisStatefulSet(hub, server, settings),
]

export const redisServerSecret = (hub: Hub, server: RedisServer): Desired =>
  desired(SECRETS, metaOf(hub, hubRedisServerSecret(hub.metadata.name)), {
    type: 'kubernetes.io/tls',
    data: secretData({
      'redis.conf': server.config,
      password: server.adminPassword,
      'tls.crt': server.certificate.certificatePem,
      'tls.key': server.certificate.privateKeyPem,
      'ca.crt': server.caPem,
    }),
  })

/** For the brokers of this hub and for the operator, and for nobody else. */
export const redisNetworkPolicy = (hub: Hub, { operatorNamespace }: BuildSettings): Desired =>
  desired(NETWORK_POLICIES, metaOf(hub), {
    spec: {
      podSelector: { matchLabels: podSelector(hub.metadata.name, 'redis') },
      // No rule for Egress: a Redis talks to nobody.
      policyTypes: ['Ingress', 'Egress'],
      ingress: [
        {
          from: [
            { podSelector: { matchLabels: podSelector(hub.metadata.name, 'broker') } },
            {
              namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': operatorNamespace } },
              podSelector: { matchLabels: OPERATOR_LABELS },
            },
          ],
          ports: [{ protocol: 'TCP', port: REDIS_PORT }],
        },
      ],
    },
  })

export const redisService = (hub: Hub): Desired =>
  desired(SERVICES, metaOf(hub), {
    spec: {
      type: 'ClusterIP',
      selector: podSelector(hub.metadata.name, 'redis'),
      ports: [{ name: 'redis', protocol: 'TCP', port: REDIS_PORT, targetPort: REDIS_PORT }],
    },
  })

export function redisStatefulSet(hub: Hub, server: RedisServer, settings: BuildSettings): Desired {
  const { name } = hub.metadata
  const { storageSize = '1Gi', storageClassName } = hub.spec.redis?.managed ?? {}
  // Redis reads its configuration when it starts; of its certificate it is told in the same way.
  const digest = createHash('sha256')
    .update(server.config)
    .update(server.certificate.certificatePem)
    .digest('hex')
  return desired(STATEFUL_SETS, metaOf(hub), {
    spec: {
      replicas: 1,
      serviceName: hubRedisWorkload(name),
      revisionHistoryLimit: 3,
      // Keys bear the uid of the hub: without it nobody can read them any more.
      persistentVolumeClaimRetentionPolicy: { whenDeleted: 'Delete', whenScaled: 'Retain' },
      selector: { matchLabels: podSelector(name, 'redis') },
      template: {
        metadata: {
          labels: labelsOf(name, 'redis'),
          annotations: { [CONFIG_ANNOTATION]: digest.slice(0, 16) },
        },
        spec: podSpec(name, settings),
      },
      volumeClaimTemplates: [
        {
          apiVersion: 'v1',
          kind: 'PersistentVolumeClaim',
          metadata: { name: 'data' },
          spec: {
            accessModes: ['ReadWriteOnce'],
            ...(storageClassName === undefined ? {} : { storageClassName }),
            resources: { requests: { storage: storageSize } },
          },
        },
      ],
    },
  })
}

function podSpec(hub: string, { redisImage, imagePullPolicy }: BuildSettings): object {
  return {
    serviceAccountName: hubRedisWorkload(hub),
    automountServiceAccountToken: false,
    enableServiceLinks: false,
    terminationGracePeriodSeconds: 60,
    securityContext: POD_SECURITY,
    containers: [
      {
        name: 'redis',
        image: redisImage,
        ...(imagePullPolicy === undefined ? {} : { imagePullPolicy }),
        // The entry point of the images of Redis and of Valkey puts the server's name before a file.
        args: [`${REDIS_FOLDER}/redis.conf`],
        ports: [{ name: 'redis', containerPort: REDIS_PORT, protocol: 'TCP' }],
        readinessProbe: { tcpSocket: { port: 'redis' }, periodSeconds: 5 },
        livenessProbe: { tcpSocket: { port: 'redis' }, periodSeconds: 10, failureThreshold: 6 },
        resources: { requests: { cpu: '100m', memory: '128Mi' } },
        securityContext: RESTRICTED,
        volumeMounts: [
          { name: 'data', mountPath: REDIS_DATA_FOLDER },
          { name: 'server', mountPath: REDIS_FOLDER, readOnly: true },
        ],
      },
    ],
    volumes: [
      secretVolume('server', hubRedisServerSecret(hub), ['redis.conf', 'tls.crt', 'tls.key', 'ca.crt']),
    ],
  }
}
