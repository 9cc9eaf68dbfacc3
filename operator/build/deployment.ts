import { createHash } from 'node:crypto'
import { POD_GRACE_SECONDS } from '../../contract/broker-pod.ts'
import type { Hub } from '../../crds/hub.ts'
import { DEPLOYMENTS } from '../api/resources.ts'
import { DEFAULT_NAMESPACE } from '../compile/hub-record.ts'
import {
  hubRedisSecret,
  hubRoutesSecret,
  hubServerTlsSecret,
  hubWorkload,
  labelsOf,
  podSelector,
} from '../compile/names.ts'
import type { Desired } from '../runtime/apply.ts'
import { brokerContainer, routesContainer } from './containers.ts'
import { type BuildSettings, desired } from './object.ts'

/** The user that images without a root user commonly have (`nonroot` of distroless). */
export const NON_ROOT_ID = 65_532
/** Files of Secrets: for the group of the pod, which is that of `fsGroup`. Octal 0440. */
export const SECRET_MODE = 0o440

export const POD_SECURITY = {
  runAsNonRoot: true,
  runAsUser: NON_ROOT_ID,
  runAsGroup: NON_ROOT_ID,
  fsGroup: NON_ROOT_ID,
  seccompProfile: { type: 'RuntimeDefault' },
}

/** How many broker pods a hub has. More than one needs brokers that share a hub, which they cannot yet. */
export const brokerReplicas = (_hub: Hub): number => 1

/** Says which Redis the pods were started for: a broker follows a new password, not a new place. */
const REDIS_ANNOTATION = 'iot.hublet.dev/redis'

/** Changes when the Redis of a hub is another one. */
export const redisDigest = (access: Readonly<Record<string, string>>): string =>
  createHash('sha256')
    .update(JSON.stringify([access['url'], access['username'] ?? '']))
    .digest('hex')
    .slice(0, 16)

/**
 * The broker pods. A change of the pod brings up the new one before the old one goes (design §8.16); routes and
 * certificates change without touching the pod at all.
 *
 * @param redis from `redisDigest`
 */
export function brokerDeployment(hub: Hub, settings: BuildSettings, redis: string): Desired {
  const { name, namespace = DEFAULT_NAMESPACE } = hub.metadata
  const selector = podSelector(name, 'broker')
  return desired(
    DEPLOYMENTS,
    { name: hubWorkload(name), namespace, labels: labelsOf(name, 'broker') },
    {
      spec: {
        replicas: brokerReplicas(hub),
        revisionHistoryLimit: 3,
        strategy: { type: 'RollingUpdate', rollingUpdate: { maxUnavailable: 0, maxSurge: 1 } },
        selector: { matchLabels: selector },
        template: {
          metadata: podMetadata(hub, redis),
          spec: podSpec(hub, settings),
        },
      },
    },
  )
}

function podMetadata({ metadata, spec }: Hub, redis: string): object {
  const { labels, annotations } = spec.pod
  return {
    // Ours last: a label of the user's must not take the pod out of its Service.
    labels: { ...labels, ...labelsOf(metadata.name, 'broker') },
    annotations: { ...annotations, [REDIS_ANNOTATION]: redis },
  }
}

function podSpec(hub: Hub, settings: BuildSettings): object {
  const { name } = hub.metadata
  const { nodeSelector, tolerations, affinity, priorityClassName, imagePullSecrets } = hub.spec.pod
  return {
    serviceAccountName: hubWorkload(name),
    automountServiceAccountToken: false,
    enableServiceLinks: false,
    terminationGracePeriodSeconds: POD_GRACE_SECONDS,
    securityContext: POD_SECURITY,
    ...(Object.keys(nodeSelector).length > 0 ? { nodeSelector } : {}),
    ...(tolerations.length > 0 ? { tolerations } : {}),
    ...(affinity === undefined ? {} : { affinity }),
    ...(priorityClassName === undefined ? {} : { priorityClassName }),
    ...(imagePullSecrets.length > 0 ? { imagePullSecrets } : {}),
    topologySpreadConstraints: ['kubernetes.io/hostname', 'topology.kubernetes.io/zone'].map(spread(name)),
    initContainers: [routesContainer(hub, settings)],
    containers: [brokerContainer(hub, settings)],
    volumes: [
      secretVolume('server-tls', hubServerTlsSecret(name), ['tls.crt', 'tls.key']),
      secretVolume('redis', hubRedisSecret(name)),
      secretVolume('routes', hubRoutesSecret(name)),
      { name: 'tmp', emptyDir: { medium: 'Memory', sizeLimit: '16Mi' } },
    ],
  }
}

const spread = (hub: string) => (topologyKey: string) => ({
  maxSkew: 1,
  topologyKey,
  // One node must still be able to hold all of them.
  whenUnsatisfiable: 'ScheduleAnyway',
  labelSelector: { matchLabels: podSelector(hub, 'broker') },
})

export const secretVolume = (name: string, secretName: string, keys?: readonly string[]): object => ({
  name,
  secret: {
    secretName,
    defaultMode: SECRET_MODE,
    ...(keys === undefined ? {} : { items: keys.map((key) => ({ key, path: key })) }),
  },
})
