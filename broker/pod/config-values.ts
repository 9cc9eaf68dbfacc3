/** What the containers of a pod read from their environment and flags in the same way. Faults are gathered, not thrown. */
import { parseArgs } from 'node:util'
import { POD_ENV } from '../../contract/broker-pod.ts'
import { hubPrefix } from '../../contract/redis-keys.ts'

const LOG_LEVELS = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] as const
export type LogLevel = (typeof LOG_LEVELS)[number]
export type Environment = Readonly<Record<string, string | undefined>>
type Options = NonNullable<NonNullable<Parameters<typeof parseArgs>[0]>['options']>

/** Whose container it is. */
export interface HubPlace {
  hubUid: string
  /** For logs and metrics; empty: not told. */
  hubName: string
  hubNamespace: string
  podName: string
}

/** Every fault of a configuration, one a line: `HUBLET_LISTENERS: expected …, got …`. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError'
  readonly faults: readonly string[]

  constructor(faults: readonly string[]) {
    super(faults.join('\n'))
    this.faults = faults
  }
}

export function readPlace(env: Environment, faults: string[]): HubPlace {
  const uid = env[POD_ENV.hubUid]
  try {
    hubPrefix(uid ?? '')
  } catch {
    faults.push(`${POD_ENV.hubUid}: expected the uid of a Hub, got ${shown(uid)}`)
  }
  return {
    hubUid: uid ?? '',
    hubName: env[POD_ENV.hubName] ?? '',
    hubNamespace: env[POD_ENV.hubNamespace] ?? '',
    podName: env[POD_ENV.podName] ?? '',
  }
}

export const readLogLevel = (env: Environment, faults: string[]): LogLevel =>
  oneOf(POD_ENV.logLevel, env[POD_ENV.logLevel] ?? 'info', LOG_LEVELS, faults)

/** `args`: without node and script. Where they cannot be read, `defaults`. */
export function readFlags<O extends Options, D extends object>(
  args: readonly string[],
  options: O,
  defaults: D,
  faults: string[],
) {
  try {
    return { ...defaults, ...parseArgs({ args: [...args], options }).values }
  } catch (error) {
    faults.push(error instanceof Error ? error.message : String(error))
    return defaults
  }
}

export function oneOf<T extends string>(
  name: string,
  text: string,
  values: readonly T[],
  faults: string[],
): T {
  const value = values.find((it) => it === text)
  if (value === undefined) faults.push(`${name}: expected one of ${values.join(', ')}, got ${shown(text)}`)
  return value ?? values[0]!
}

export const shown = (text: string | undefined): string =>
  text === undefined ? 'nothing' : JSON.stringify(text)
