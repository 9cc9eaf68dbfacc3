/** Settings of the operator's process: flags, and an environment variable for each. */
import { parseArgs } from 'node:util'
import { SUBDOMAIN_PATTERN } from '../crds/meta.ts'
import type { BuildSettings } from './build/object.ts'
import type { ListenAddress } from './runtime/probe-server.ts'
import type { Scope } from './watch/informer-set.ts'

const LOG_LEVELS = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] as const
const PULL_POLICIES = ['Always', 'IfNotPresent', 'Never'] as const
type PullPolicy = (typeof PULL_POLICIES)[number]

export interface OperatorConfig {
  scope: Exclude<Scope, 'on-demand'>
  /** Where the lease and the default Redis Secret are. */
  namespace: string
  leaseName: string
  lease: { durationMs: number; renewDeadlineMs: number; retryMs: number }
  defaultRedisSecret: string | undefined
  settings: BuildSettings
  concurrency: { hub: number; device: number; member: number }
  metrics: ListenAddress
  health: ListenAddress
  logLevel: (typeof LOG_LEVELS)[number]
}

/** Every fault of a configuration, one a line: `--image: expected …, got …`. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError'
  readonly faults: readonly string[]

  constructor(faults: readonly string[]) {
    super(faults.join('\n'))
    this.faults = faults
  }
}

interface Flag {
  value: string
  help: string
  /** What holds when neither flag nor variable is given; absent: it may stay empty. */
  default?: string
}

const FLAGS = {
  namespaces: {
    value: '<a,b>',
    help: "namespaces to watch, with commas; the operator's own when left out",
  },
  'all-namespaces': { value: '<true|false>', default: 'false', help: 'watch every namespace' },
  namespace: { value: '<name>', help: "namespace of lease and default Redis; the pod's when left out" },
  image: { value: '<image>', help: 'image of brokers and routes; required' },
  'image-pull-policy': {
    value: '<policy>',
    help: `${PULL_POLICIES.join(', ')}; Kubernetes decides when left out`,
  },
  'redis-image': {
    value: '<image>',
    default: 'docker.io/valkey/valkey:8.1',
    help: 'image of managed Redis: Redis or Valkey, 7.0 or later',
  },
  'default-redis-secret': {
    value: '<name>',
    help: 'Secret with url, username, password, ca.crt of a Redis for hubs that name none',
  },
  'cluster-domain': { value: '<domain>', default: 'cluster.local', help: 'DNS domain of the cluster' },
  'lease-name': {
    value: '<name>',
    default: 'hublet-operator',
    help: 'Lease that elects the one that writes',
  },
  'lease-duration': { value: '<seconds>', default: '15', help: 'how long a silent leader is respected' },
  'renew-deadline': { value: '<seconds>', default: '10', help: 'how long a leader writes without a renewal' },
  'retry-period': { value: '<seconds>', default: '2', help: 'between renewals' },
  'hub-concurrency': { value: '<number>', default: '4', help: 'hubs in work at a time' },
  'device-concurrency': { value: '<number>', default: '16', help: 'devices in work at a time' },
  'member-concurrency': { value: '<number>', default: '4', help: 'networks and routes in work at a time' },
  'metrics-address': { value: '<host:port>', default: ':9090', help: 'where /metrics is served' },
  'health-address': { value: '<host:port>', default: ':8081', help: 'where /livez and /readyz are served' },
  'log-level': { value: '<level>', default: 'info', help: LOG_LEVELS.join(', ') },
  'routes-allow-private': {
    value: '<true|false>',
    default: 'false',
    help: 'routes may connect to private address ranges, where Services and pods are',
  },
  'broker-log-level': { value: '<level>', default: 'info', help: 'the same for broker pods' },
} as const satisfies Record<string, Flag>

type FlagName = keyof typeof FLAGS
type Values = Readonly<Record<FlagName, string | undefined>>
type Environment = Readonly<Record<string, string | undefined>>

const flagNames = Object.keys(FLAGS) as FlagName[]

/** `--redis-image` is HUBLET_REDIS_IMAGE. */
export const variableOf = (flag: FlagName): string => `HUBLET_${flag.toUpperCase().replaceAll('-', '_')}`

export const USAGE = [
  'Usage: node operator/main.ts [options]',
  '',
  'The operator. Each option can be given as an environment variable too, --redis-image as HUBLET_REDIS_IMAGE; the',
  'option wins. The API server is that of KUBECONFIG, else of the pod, else of ~/.kube/config.',
  '',
  ...flagNames.map((name) => {
    const flag: Flag = FLAGS[name]
    const text = `  --${name} ${flag.value}`
    return `${text.padEnd(34)} ${flag.help}${flag.default === undefined ? '' : ` (default ${flag.default})`}`
  }),
  `${'  --help'.padEnd(34)} shows this`,
  '',
].join('\n')

/**
 * Throws ConfigError with every fault at once. `args`: without node and script. `ownNamespace`: that of the pod, or
 * of the kubeconfig's context.
 */
export function readOperatorConfig(
  args: readonly string[],
  environment: Environment,
  ownNamespace: string,
): OperatorConfig {
  const faults: string[] = []
  const read = new Reader(valuesOf(args, environment), faults)
  const namespace = read.name('namespace') ?? ownNamespace
  const config: OperatorConfig = {
    namespace,
    scope: read.scope(namespace),
    leaseName: read.name('lease-name') ?? '',
    lease: read.lease(),
    defaultRedisSecret: read.name('default-redis-secret'),
    settings: {
      image: read.image('image'),
      redisImage: read.image('redis-image'),
      ...read.pullPolicy(),
      clusterDomain: read.name('cluster-domain') ?? '',
      operatorNamespace: namespace,
      routesAllowPrivate: read.oneOf('routes-allow-private', ['true', 'false']) === 'true',
      logLevel: read.oneOf('broker-log-level', LOG_LEVELS),
    },
    concurrency: {
      hub: read.whole('hub-concurrency', 1, 64),
      device: read.whole('device-concurrency', 1, 256),
      member: read.whole('member-concurrency', 1, 64),
    },
    metrics: read.address('metrics-address'),
    health: read.address('health-address'),
    logLevel: read.oneOf('log-level', LOG_LEVELS),
  }
  if (faults.length > 0) throw new ConfigError(faults)
  return config
}

function valuesOf(args: readonly string[], environment: Environment): Values {
  const options = Object.fromEntries(flagNames.map((name) => [name, { type: 'string' as const }]))
  let given: Record<string, unknown> = {}
  try {
    given = parseArgs({ args: [...args], options }).values
  } catch (error) {
    // Values would be read out of their places.
    throw new ConfigError([error instanceof Error ? error.message : String(error)])
  }
  const value = (name: FlagName): string | undefined => {
    const flag: Flag = FLAGS[name]
    // A variable that a template leaves empty is not there.
    return (given[name] as string | undefined) ?? (environment[variableOf(name)] || undefined) ?? flag.default
  }
  return Object.fromEntries(flagNames.map((name) => [name, value(name)])) as Values
}

const NAME = new RegExp(SUBDOMAIN_PATTERN)

/** Reads values one by one and takes note of each that is no good. */
class Reader {
  readonly #values: Values
  readonly #faults: string[]

  constructor(values: Values, faults: string[]) {
    this.#values = values
    this.#faults = faults
  }

  name(flag: FlagName): string | undefined {
    const value = this.#values[flag]
    if (value === undefined || (NAME.test(value) && value.length <= 253)) return value
    return this.#fault(flag, 'a name of lower-case letters, digits, hyphens and dots', value)
  }

  scope(own: string): OperatorConfig['scope'] {
    const all = this.oneOf('all-namespaces', ['true', 'false'])
    const text = this.#values.namespaces
    if (all === 'true') {
      if (text !== undefined) this.#fault('namespaces', 'nothing beside --all-namespaces true', text)
      return 'all'
    }
    if (text === undefined) return { namespaces: [own] }
    const names = text.split(',').map((name) => name.trim())
    if (!names.every((name) => NAME.test(name) && name.length <= 63))
      this.#fault('namespaces', 'names of namespaces with commas', text)
    return { namespaces: [...new Set(names)] }
  }

  lease(): OperatorConfig['lease'] {
    const durationMs = this.whole('lease-duration', 3, 3_600) * 1000
    const renewDeadlineMs = this.whole('renew-deadline', 2, 3_600) * 1000
    const retryMs = this.whole('retry-period', 1, 1_800) * 1000
    if (durationMs <= renewDeadlineMs)
      this.#fault(
        'lease-duration',
        `more than --renew-deadline (${renewDeadlineMs / 1000})`,
        `${durationMs / 1000}`,
      )
    if (renewDeadlineMs < 2 * retryMs)
      this.#fault(
        'renew-deadline',
        `at least twice --retry-period (${retryMs / 1000})`,
        `${renewDeadlineMs / 1000}`,
      )
    return { durationMs, renewDeadlineMs, retryMs }
  }

  image(flag: FlagName): string {
    const value = this.#values[flag]
    if (value === undefined || !/^\S{1,1024}$/.test(value)) this.#fault(flag, 'the name of an image', value)
    return value ?? ''
  }

  pullPolicy(): { imagePullPolicy?: PullPolicy } {
    if (this.#values['image-pull-policy'] === undefined) return {}
    return { imagePullPolicy: this.oneOf('image-pull-policy', PULL_POLICIES) }
  }

  oneOf<T extends string>(flag: FlagName, values: readonly T[]): T {
    const value = this.#values[flag]
    const found = values.find((one) => one === value)
    if (found === undefined) this.#fault(flag, `one of ${values.join(', ')}`, value)
    return found ?? values[0]!
  }

  whole(flag: FlagName, from: number, to: number): number {
    const value = this.#values[flag]
    const number = value !== undefined && /^\d{1,6}$/.test(value) ? Number(value) : Number.NaN
    if (number >= from && number <= to) return number
    this.#fault(flag, `a whole number from ${from} to ${to}`, value)
    return from
  }

  /** `host:port`, `[::1]:port`, or `:port` for every address. */
  address(flag: FlagName): ListenAddress {
    const value = this.#values[flag]
    const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^:[\]]*)):(\d{1,5})$/.exec(value ?? '')
    const port = Number(match?.[3] ?? Number.NaN)
    if (match === null || port > 65_535) this.#fault(flag, 'host:port, or :port for every address', value)
    return { host: match?.[1] ?? (match?.[2] || '::'), port: Number.isNaN(port) ? 0 : port }
  }

  #fault(flag: FlagName, expected: string, got: string | undefined): undefined {
    const shown = got === undefined ? 'nothing' : JSON.stringify(got)
    this.#faults.push(`--${flag} (${variableOf(flag)}): expected ${expected}, got ${shown}`)
    return undefined
  }
}
