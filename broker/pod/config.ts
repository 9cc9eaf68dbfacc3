import { POD_ENV, POD_FOLDERS, POD_PORTS, POD_TMP } from '../../contract/broker-pod.ts'
import type { ListenerName } from '../policy/link.ts'
import {
  ConfigError,
  type Environment,
  type HubPlace,
  type LogLevel,
  oneOf,
  readFlags,
  readLogLevel,
  readPlace,
  shown,
} from './config-values.ts'

export const LISTENERS = ['mqtt', 'mqtts', 'ws', 'wss', 'http', 'https'] as const satisfies ListenerName[]
/** Those that present a certificate. */
export const ENCRYPTED: ReadonlySet<ListenerName> = new Set(['mqtts', 'wss', 'https'])
const DURABILITIES = ['Fsync', 'Replicated', 'Relaxed'] as const
type PortName = ListenerName | 'metrics' | 'health'

/** What a broker process is told about its hub and its place. */
export interface PodConfig extends HubPlace {
  listeners: readonly ListenerName[]
  durability: (typeof DURABILITIES)[number]
  redisGraceSeconds: number
  logLevel: LogLevel
  /** Address to listen on. */
  bind: string
  ports: Readonly<Record<PortName, number>>
  /** `tmp` is shared with the route worker. */
  folders: { serverTls: string; redis: string; tmp: string }
}

export const USAGE = `Usage: node broker/main.ts [options]

The broker of one hub, with its state and store in Redis. The operator tells it what it needs by environment
(${Object.values(POD_ENV).join(', ')}).

Options, for a broker outside a pod:
  --bind <address>         address to listen on (default ::, every address)
  --port <name>=<number>   port of a listener, of metrics or of health; 0 takes a free one; may be repeated
  --server-tls <folder>    folder with tls.crt and tls.key (default ${POD_FOLDERS.serverTls})
  --redis <folder>         folder with url, username, password, ca.crt (default ${POD_FOLDERS.redis})
  --tmp <folder>           folder that is shared with the route worker (default ${POD_TMP})
  --help                   shows this
`

const OPTIONS = {
  bind: { type: 'string' },
  port: { type: 'string', multiple: true },
  'server-tls': { type: 'string' },
  redis: { type: 'string' },
  tmp: { type: 'string' },
} as const

const DEFAULTS = {
  bind: '::',
  port: [] as string[],
  'server-tls': POD_FOLDERS.serverTls,
  redis: POD_FOLDERS.redis,
  tmp: POD_TMP,
}

/** Throws ConfigError. `args`: without node and script. */
export function readPodConfig(args: readonly string[], env: Environment): PodConfig {
  const faults: string[] = []
  const flags = readFlags(args, OPTIONS, DEFAULTS, faults)
  const config: PodConfig = {
    ...readPlace(env, faults),
    listeners: readListeners(env[POD_ENV.listeners], faults),
    durability: oneOf(POD_ENV.durability, env[POD_ENV.durability] ?? 'Fsync', DURABILITIES, faults),
    redisGraceSeconds: wholeNumber(
      POD_ENV.redisGraceSeconds,
      env[POD_ENV.redisGraceSeconds] ?? '60',
      { from: 1, to: 86_400 },
      faults,
    ),
    logLevel: readLogLevel(env, faults),
    bind: flags.bind,
    ports: readPorts(flags.port, faults),
    folders: { serverTls: flags['server-tls'], redis: flags.redis, tmp: flags.tmp },
  }
  if (faults.length > 0) throw new ConfigError(faults)
  return config
}

function readListeners(text: string | undefined, faults: string[]): ListenerName[] {
  const names = (text ?? '')
    .split(',')
    .map((name) => name.trim())
    .filter((name) => name !== '')
  const isListener = (name: string): name is ListenerName => (LISTENERS as readonly string[]).includes(name)
  if (text === undefined || !names.every(isListener)) {
    faults.push(
      `${POD_ENV.listeners}: expected names out of ${LISTENERS.join(', ')} with commas, got ${shown(text)}`,
    )
  }
  return names.filter(isListener)
}

function readPorts(given: readonly string[], faults: string[]): Record<PortName, number> {
  const ports: Record<string, number> = {}
  const names: PortName[] = [...LISTENERS, 'metrics', 'health']
  for (const name of names) ports[name] = POD_PORTS[name]
  for (const text of given) {
    const [name = '', port = ''] = text.split('=', 2)
    if (!(names as string[]).includes(name)) {
      faults.push(`--port: expected <name>=<number>, name one of ${names.join(', ')}, got ${shown(text)}`)
    } else {
      ports[name] = wholeNumber(`--port ${name}`, port, { from: 0, to: 65_535 }, faults)
    }
  }
  return ports as Record<PortName, number>
}

function wholeNumber(
  name: string,
  text: string,
  { from, to }: { from: number; to: number },
  faults: string[],
): number {
  const value = /^\d{1,9}$/.test(text) ? Number(text) : Number.NaN
  if (value >= from && value <= to) return value
  faults.push(`${name}: expected a whole number from ${from} to ${to}, got ${shown(text)}`)
  return from
}
