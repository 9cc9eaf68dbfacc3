/** The two containers of a broker pod. */
import { POD_CONTAINERS, POD_ENV, POD_FOLDERS, POD_PORTS, POD_TMP } from '../../contract/broker-pod.ts'
import type { Hub } from '../../crds/hub.ts'
import { LISTENER_PORTS } from '../../crds/hub-listeners.ts'
import { parseDuration } from '../compile/duration.ts'
import { DEFAULT_NAMESPACE } from '../compile/hub-record.ts'
import type { BuildSettings } from './object.ts'

export type ListenerName = keyof typeof LISTENER_PORTS

/** What the redis block of a hub that has none stands for. */
const DEFAULT_DURABILITY = 'Fsync'
const DEFAULT_GRACE = '60s'

/** PSA `restricted`, and nothing to write to but `/tmp`. */
export const RESTRICTED = {
  allowPrivilegeEscalation: false,
  readOnlyRootFilesystem: true,
  capabilities: { drop: ['ALL'] },
}

/** Set aside where the hub asks for nothing; no limits, which would throttle or kill a broker under load. */
const DEFAULT_REQUESTS = {
  broker: { cpu: '100m', memory: '128Mi' },
  routes: { cpu: '20m', memory: '64Mi' },
}

/** Open listeners in the order of the API. */
export const openListeners = (hub: Hub): ListenerName[] =>
  (Object.keys(LISTENER_PORTS) as ListenerName[]).filter((name) => hub.spec.listeners[name].enabled)

export function brokerContainer(hub: Hub, settings: BuildSettings): object {
  const listeners = openListeners(hub)
  return {
    name: POD_CONTAINERS.broker,
    image: settings.image,
    ...pullPolicy(settings),
    command: ['node', 'broker/main.ts'],
    env: [
      ...commonEnvironment(hub, settings),
      { name: POD_ENV.listeners, value: listeners.join(',') },
      { name: POD_ENV.redisGraceSeconds, value: String(graceSeconds(hub)) },
    ],
    ports: [
      ...listeners.map((name) => ({ name, containerPort: POD_PORTS[name], protocol: 'TCP' })),
      { name: 'metrics', containerPort: POD_PORTS.metrics, protocol: 'TCP' },
      { name: 'health', containerPort: POD_PORTS.health, protocol: 'TCP' },
    ],
    // A hub with many retained messages reads for a while before it is alive.
    startupProbe: probe('/livez', { periodSeconds: 2, failureThreshold: 150 }),
    livenessProbe: probe('/livez', { periodSeconds: 10, failureThreshold: 3 }),
    // Often: for as long as a pod that has opened is not known to be ready, clients of the only one wait.
    readinessProbe: probe('/readyz', { periodSeconds: 2, failureThreshold: 5 }),
    resources: resources(hub, 'broker'),
    securityContext: RESTRICTED,
    volumeMounts: [
      { name: 'server-tls', mountPath: POD_FOLDERS.serverTls, readOnly: true },
      { name: 'redis', mountPath: POD_FOLDERS.redis, readOnly: true },
      { name: 'tmp', mountPath: POD_TMP },
    ],
  }
}

/** A native sidecar: started first, ended last, so that what the broker took in is still moved on. */
export function routesContainer(hub: Hub, settings: BuildSettings): object {
  return {
    name: POD_CONTAINERS.routes,
    image: settings.image,
    ...pullPolicy(settings),
    command: ['node', 'sidecar/main.ts'],
    restartPolicy: 'Always',
    env: [
      ...commonEnvironment(hub, settings),
      { name: POD_ENV.routesAllowPrivate, value: String(settings.routesAllowPrivate) },
    ],
    ports: [
      { name: 'routes-metrics', containerPort: POD_PORTS.routesMetrics, protocol: 'TCP' },
      { name: 'routes-health', containerPort: POD_PORTS.routesHealth, protocol: 'TCP' },
    ],
    // No readiness: routes that do not work must not take the hub from its clients.
    livenessProbe: {
      httpGet: { path: '/livez', port: 'routes-health' },
      periodSeconds: 10,
      failureThreshold: 6,
    },
    resources: resources(hub, 'routes'),
    securityContext: RESTRICTED,
    volumeMounts: [
      { name: 'redis', mountPath: POD_FOLDERS.redis, readOnly: true },
      { name: 'routes', mountPath: POD_FOLDERS.routes, readOnly: true },
      { name: 'tmp', mountPath: POD_TMP },
    ],
  }
}

const pullPolicy = ({ imagePullPolicy }: BuildSettings) => (imagePullPolicy ? { imagePullPolicy } : {})

function commonEnvironment({ metadata, spec }: Hub, { logLevel }: BuildSettings): object[] {
  return [
    { name: POD_ENV.hubUid, value: metadata.uid ?? '' },
    { name: POD_ENV.hubName, value: metadata.name },
    { name: POD_ENV.hubNamespace, value: metadata.namespace ?? DEFAULT_NAMESPACE },
    {
      name: POD_ENV.podName,
      valueFrom: { fieldRef: { apiVersion: 'v1', fieldPath: 'metadata.name' } },
    },
    { name: POD_ENV.durability, value: spec.redis?.durability ?? DEFAULT_DURABILITY },
    { name: POD_ENV.logLevel, value: logLevel },
  ]
}

const graceSeconds = ({ spec }: Hub): number =>
  Math.ceil((parseDuration(spec.redis?.grace ?? DEFAULT_GRACE) ?? 0) / 1000)

const probe = (path: string, times: object): object => ({ httpGet: { path, port: 'health' }, ...times })

function resources({ spec }: Hub, container: 'broker' | 'routes'): object {
  const { requests, limits } = spec.pod.resources[container]
  return {
    requests: requests ?? DEFAULT_REQUESTS[container],
    ...(limits === undefined ? {} : { limits }),
  }
}
