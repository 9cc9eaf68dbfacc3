import { join } from 'node:path'
import {
  ConfigError,
  type Environment,
  type HubPlace,
  type LogLevel,
  readFlags,
  readLogLevel,
  readPlace,
  shown,
} from '../broker/pod/config-values.ts'
import { POD_DOOR, POD_ENV, POD_FOLDERS, POD_PORTS, POD_TMP } from '../contract/broker-pod.ts'

const PORTS = ['metrics', 'health'] as const
type PortName = (typeof PORTS)[number]

/** What a route worker is told about its hub and its place. */
export interface SidecarConfig extends HubPlace {
  logLevel: LogLevel
  /** Whether routes may connect to private address ranges. */
  allowPrivate: boolean
  /** Also for tests and for a worker beside its destination. */
  allowLoopback: boolean
  /** Addresses that no route may reach: that of the API server. */
  denied: readonly string[]
  bind: string
  ports: Readonly<Record<PortName, number>>
  folders: { redis: string; routes: string; tmp: string }
  /** Socket of the broker. */
  door: string
}

export const USAGE = `Usage: node sidecar/main.ts [options]

The route worker of one hub, with its state and streams in Redis. The operator tells it what it needs by environment
(${POD_ENV.hubUid}, ${POD_ENV.hubName}, ${POD_ENV.hubNamespace}, ${POD_ENV.podName}, ${POD_ENV.routesAllowPrivate}, ${POD_ENV.logLevel}).

Options, for a worker outside a pod:
  --bind <address>         address of metrics and health (default ::, every address)
  --port <name>=<number>   port of metrics or of health; 0 takes a free one; may be repeated
  --redis <folder>         folder with url, username, password, ca.crt (default ${POD_FOLDERS.redis})
  --routes <folder>        folder with a file of secret values a route (default ${POD_FOLDERS.routes})
  --tmp <folder>           folder that is shared with the broker (default ${POD_TMP})
  --allow-loopback         routes may connect to this machine
  --help                   shows this
`

const OPTIONS = {
  bind: { type: 'string' },
  port: { type: 'string', multiple: true },
  redis: { type: 'string' },
  routes: { type: 'string' },
  tmp: { type: 'string' },
  'allow-loopback': { type: 'boolean' },
} as const

const DEFAULTS = {
  bind: '::',
  port: [] as string[],
  redis: POD_FOLDERS.redis,
  routes: POD_FOLDERS.routes,
  tmp: POD_TMP,
  'allow-loopback': false,
}

/** Throws ConfigError with every fault at once. `args`: without node and script. */
export function readSidecarConfig(args: readonly string[], env: Environment): SidecarConfig {
  const faults: string[] = []
  const flags = readFlags(args, OPTIONS, DEFAULTS, faults)
  const place = readPlace(env, faults)
  const logLevel = readLogLevel(env, faults)
  const allow = env[POD_ENV.routesAllowPrivate] ?? 'false'
  if (allow !== 'true' && allow !== 'false')
    faults.push(`${POD_ENV.routesAllowPrivate}: expected true or false, got ${shown(allow)}`)
  const ports = readPorts(flags.port, faults)
  if (faults.length > 0) throw new ConfigError(faults)
  // Every pod is told where the API server is, as a Service and by this variable.
  const apiServer = env['KUBERNETES_SERVICE_HOST']
  return {
    ...place,
    logLevel,
    allowPrivate: allow === 'true',
    allowLoopback: flags['allow-loopback'],
    denied: apiServer === undefined || apiServer === '' ? [] : [apiServer],
    bind: flags.bind,
    ports,
    folders: { redis: flags.redis, routes: flags.routes, tmp: flags.tmp },
    door: join(flags.tmp, POD_DOOR),
  }
}

function readPorts(given: readonly string[], faults: string[]): Record<PortName, number> {
  const ports = { metrics: POD_PORTS.routesMetrics as number, health: POD_PORTS.routesHealth as number }
  for (const text of given) {
    const [name, port = ''] = text.split('=', 2)
    const known = PORTS.find((it) => it === name)
    const value = /^\d{1,5}$/.test(port) ? Number(port) : Number.NaN
    if (known !== undefined && value <= 65_535) ports[known] = value
    else faults.push(`--port: expected metrics=<number> or health=<number>, got ${shown(text)}`)
  }
  return ports
}
