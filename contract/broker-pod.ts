/**
 * What the operator hands to the containers of a broker pod: ports, environment, mounted folders. The operator writes
 * the pod by it, broker and route worker read it; nothing else about a hub comes by way of the pod.
 */

/** Container ports. Services map them to the ports that clients use. */
export const POD_PORTS = {
  mqtt: 1883,
  mqtts: 8883,
  ws: 8083,
  wss: 8084,
  http: 8080,
  https: 8443,
  /** `/metrics` of the broker. */
  metrics: 9090,
  /** `/livez` and `/readyz` of the broker. */
  health: 8081,
  /** `/metrics` of the route worker. */
  routesMetrics: 9091,
  /** `/livez` of the route worker, which has no readiness: a hub without a working route is a working hub. */
  routesHealth: 8082,
} as const

/** Environment variables of both containers. */
export const POD_ENV = {
  hubUid: 'HUBLET_HUB_UID',
  /** For logs; broker state has the names too. */
  hubName: 'HUBLET_HUB_NAME',
  hubNamespace: 'HUBLET_HUB_NAMESPACE',
  podName: 'HUBLET_POD_NAME',
  /** Listeners to open, by name, with commas: `mqtts,wss`. Broker only. */
  listeners: 'HUBLET_LISTENERS',
  /** When a message counts as stored: `Fsync`, `Replicated` or `Relaxed`. */
  durability: 'HUBLET_REDIS_DURABILITY',
  /** Seconds without Redis after which every session is closed. Broker only. */
  redisGraceSeconds: 'HUBLET_REDIS_GRACE_SECONDS',
  logLevel: 'HUBLET_LOG_LEVEL',
  /** `true`: routes may connect to private address ranges. Route worker only. */
  routesAllowPrivate: 'HUBLET_ROUTES_ALLOW_PRIVATE',
} as const

/** Read-only folders. Their files change in place when a Secret does; readers follow them. */
export const POD_FOLDERS = {
  /** `tls.crt` (leaf first), `tls.key`. Broker only. */
  serverTls: '/etc/hublet/server-tls',
  /** `url`, and where needed `username`, `password`, `ca.crt`: the fields of `RedisAccess`. */
  redis: '/etc/hublet/redis',
  /** One file a route, `<route uid>.json`, see `route-credentials.ts`. Route worker only. */
  routes: '/etc/hublet/routes',
} as const

/** Writable, shared by the containers of the pod and by nobody else. */
export const POD_TMP = '/tmp'

/** Socket in `POD_TMP` where the broker hears the route worker (`pod-door.ts`). */
export const POD_DOOR = 'hublet-broker.sock'

/** Names of the containers. */
export const POD_CONTAINERS = { broker: 'broker', routes: 'routes' } as const

/** Seconds between the end of readiness and the end of the process that a broker has for its clients. */
export const POD_GRACE_SECONDS = 60
