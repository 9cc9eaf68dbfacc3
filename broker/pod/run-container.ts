import { type Logger, pino } from 'pino'
import { ConfigError, type Environment, type HubPlace, type LogLevel } from './config-values.ts'

/** What a container of a pod runs. */
export interface Contained {
  start(): Promise<void>
  /** `signal`: what asked for it. */
  stop(signal: 'SIGTERM' | 'SIGINT'): Promise<void>
}

export interface ContainerOptions<C extends HubPlace & { logLevel: LogLevel }> {
  /** Before each fault of the configuration: `hublet <name>`. */
  name: string
  usage: string
  /** Throws ConfigError. */
  read(args: readonly string[], env: Environment): C
  /** `end` ends the process over a fault. */
  open(config: C, logger: Logger, end: (error: unknown, message: string) => void): Contained
  /** Logged when it is asked to stop, and when it cannot start. */
  words: { closing: string; failed: string }
  /** Only a `main.ts` may end its process. */
  exit(code: number): void
}

const EXIT_USAGE = 2

/** From the flags to the end of the process of a container: by a signal, or by a fault that nobody handles. */
export async function runContainer<C extends HubPlace & { logLevel: LogLevel }>(
  options: ContainerOptions<C>,
): Promise<void> {
  const { usage, open, words, exit } = options
  if (process.argv.includes('--help')) {
    process.stdout.write(usage)
    return
  }
  const config = readConfig(options)
  if (config === undefined) {
    process.exitCode = EXIT_USAGE
    return
  }
  const logger = loggerOf(config)
  const end = (error: unknown, message: string) => {
    logger.fatal({ err: error }, message)
    exit(1)
  }
  process.on('uncaughtException', (error) => end(error, 'an error nobody handled'))
  process.on('unhandledRejection', (error) => end(error, 'a rejection nobody handled'))
  const contained = open(config, logger, end)
  let stopping = false
  const stop = async (signal: 'SIGTERM' | 'SIGINT') => {
    if (stopping) return
    stopping = true
    logger.info(words.closing)
    await contained.stop(signal)
    exit(0)
  }
  process.on('SIGTERM', () => void stop('SIGTERM'))
  process.on('SIGINT', () => void stop('SIGINT'))
  try {
    await contained.start()
  } catch (error) {
    if (!stopping) end(error, words.failed)
  }
}

function readConfig<C extends HubPlace & { logLevel: LogLevel }>({
  name,
  read,
}: ContainerOptions<C>): C | undefined {
  try {
    return read(process.argv.slice(2), process.env)
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    for (const fault of error.faults) process.stderr.write(`hublet ${name}: ${fault}\n`)
    return undefined
  }
}

const loggerOf = ({
  logLevel,
  hubUid,
  hubName,
  hubNamespace,
  podName,
}: HubPlace & { logLevel: LogLevel }): Logger =>
  pino({
    level: logLevel,
    base: { hub: hubName, namespace: hubNamespace, hubUid, pod: podName },
    // Nothing of the kind is logged; should a library's error carry it, it still stays out.
    redact: ['password', 'token', 'privateKey', '*.password', '*.token', '*.privateKey', '*.command'],
  })
