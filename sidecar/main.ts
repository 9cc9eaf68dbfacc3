/** The process of the `routes` container in a broker pod: `node sidecar/main.ts`. See `--help`. */
import { pino } from 'pino'
import { ConfigError } from '../broker/pod/config.ts'
import { readSidecarConfig, type SidecarConfig, USAGE } from './config.ts'
import { RoutesProcess } from './routes-process.ts'

const EXIT_USAGE = 2

if (process.argv.includes('--help')) {
  process.stdout.write(USAGE)
} else {
  const config = readConfig()
  if (config === undefined) process.exitCode = EXIT_USAGE
  else await run(config)
}

function readConfig(): SidecarConfig | undefined {
  try {
    return readSidecarConfig(process.argv.slice(2), process.env)
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    for (const fault of error.faults) process.stderr.write(`hublet routes: ${fault}\n`)
    return undefined
  }
}

async function run(config: SidecarConfig): Promise<void> {
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
  const routes = new RoutesProcess(config, logger)
  let stopping = false
  const stop = async () => {
    if (stopping) return
    stopping = true
    logger.info('the route worker closes')
    await routes.stop()
    process.exit(0)
  }
  process.on('SIGTERM', () => void stop())
  process.on('SIGINT', () => void stop())
  try {
    await routes.start()
  } catch (error) {
    if (!stopping) end(1, error, 'the route worker could not be started')
  }
}
