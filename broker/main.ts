/** The process of a broker pod: `node broker/main.ts`. See `--help`. */
import { setTimeout as delay } from 'node:timers/promises'
import { pino } from 'pino'
import { ConfigError, type PodConfig, readPodConfig, USAGE } from './pod/config.ts'
import { PodProcess } from './pod/pod-process.ts'

/** How long clients are still let in after readiness went off: Services need a moment to notice. */
const DRAIN_MS = 3_000
/**
 * A broker that lost its hub to another gives way for so long, then ends to be started anew and take the hub
 * back. In a roll-out it is ended by then; if the other one has died, the hub is served again.
 */
const GIVE_WAY_MS = 60_000
const EXIT_USAGE = 2

if (process.argv.includes('--help')) {
  process.stdout.write(USAGE)
} else {
  const config = readConfig()
  if (config === undefined) process.exitCode = EXIT_USAGE
  else await run(config)
}

function readConfig(): PodConfig | undefined {
  try {
    return readPodConfig(process.argv.slice(2), process.env)
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    for (const fault of error.faults) process.stderr.write(`hublet broker: ${fault}\n`)
    return undefined
  }
}

async function run(config: PodConfig): Promise<void> {
  const { hubUid, hubName, hubNamespace, podName, logLevel } = config
  const logger = pino({
    level: logLevel,
    base: { hub: hubName, namespace: hubNamespace, hubUid, pod: podName },
    // Nothing of the kind is logged; should a library's error carry it, it still stays out.
    redact: ['password', 'token', 'privateKey', '*.password', '*.token', '*.privateKey', '*.command'],
  })
  const end = (code: number, error: unknown, message: string) => {
    logger.fatal({ err: error }, message)
    process.exit(code)
  }
  process.on('uncaughtException', (error) => end(1, error, 'an error nobody handled'))
  process.on('unhandledRejection', (error) => end(1, error, 'a rejection nobody handled'))

  const pod = new PodProcess({
    config,
    logger,
    onFenced: () => void setTimeout(() => end(1, undefined, 'gave way; starting anew'), GIVE_WAY_MS),
  })
  let stopping = false
  const stop = async (drainMs: number) => {
    if (stopping) return
    stopping = true
    logger.info('the hub closes')
    pod.drain()
    await delay(drainMs)
    await pod.stop()
    process.exit(0)
  }
  process.on('SIGTERM', () => void stop(DRAIN_MS))
  process.on('SIGINT', () => void stop(0))
  try {
    await pod.start()
  } catch (error) {
    if (!stopping) end(1, error, 'the hub could not be opened')
  }
}
