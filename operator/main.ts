/** The process of the operator: `node operator/main.ts`. See `--help`. */
import { randomBytes } from 'node:crypto'
import { hostname } from 'node:os'
import { type Logger, pino } from 'pino'
import { collectDefaultMetrics, Registry } from 'prom-client'
import { ConfigError, type OperatorConfig, readOperatorConfig, USAGE } from './config.ts'
import { type RunningOperator, startOperator } from './operator.ts'
import { systemClock } from './runtime/clock.ts'
import { type LoadedAccess, loadClusterAccess } from './runtime/cluster-access.ts'
import { type RunningServer, startMetricsServer, startProbeServer } from './runtime/probe-server.ts'

const EXIT_USAGE = 2

if (process.argv.includes('--help')) process.stdout.write(USAGE)
else await main()

async function main(): Promise<void> {
  const loaded = await access()
  const config = loaded && readConfig(loaded.namespace)
  if (loaded === undefined || config === undefined) {
    process.exitCode = EXIT_USAGE
    return
  }
  // The host name is that of the pod; the rest tells this process from the one before in the same pod.
  const identity = `${hostname()}_${randomBytes(4).toString('hex')}`
  const logger = pino({
    level: config.logLevel,
    base: { operator: identity },
    // Nothing of the kind is logged; should a library's error carry it, it still stays out.
    redact: ['password', 'token', 'privateKey', '*.password', '*.token', '*.privateKey', '*.command'],
  })
  const end = (code: number, error: unknown, message: string) => {
    logger.fatal({ err: error }, message)
    process.exit(code)
  }
  process.on('uncaughtException', (error) => end(1, error, 'an error nobody handled'))
  process.on('unhandledRejection', (error) => end(1, error, 'a rejection nobody handled'))
  try {
    const why = await run({ config, loaded, logger, identity })
    // Leadership never comes back in a process that lost it: the next one begins with a look at the world.
    if (why === 'leadership-lost') end(1, undefined, 'leadership was lost; starting anew')
    logger.info('the operator has stopped')
    process.exit(0)
  } catch (error) {
    end(1, error, 'the operator could not be started')
  }
}

async function access(): Promise<LoadedAccess | undefined> {
  try {
    return await loadClusterAccess({ environment: process.env, clock: systemClock })
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error)
    process.stderr.write(`hublet operator: the way to the API server cannot be found: ${text}\n`)
    return undefined
  }
}

function readConfig(namespace: string): OperatorConfig | undefined {
  try {
    return readOperatorConfig(process.argv.slice(2), process.env, namespace)
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    for (const fault of error.faults) process.stderr.write(`hublet operator: ${fault}\n`)
    return undefined
  }
}

interface Run {
  config: OperatorConfig
  loaded: LoadedAccess
  logger: Logger
  identity: string
}

/** Resolves once everything has stopped. */
async function run({ config, loaded, logger, identity }: Run): Promise<'stopped' | 'leadership-lost'> {
  const registry = new Registry()
  collectDefaultMetrics({ register: registry })
  const { defaultRedisSecret, metrics, health, logLevel: _, ...options } = config
  const operator = startOperator({
    ...options,
    ...(defaultRedisSecret === undefined ? {} : { defaultRedisSecret }),
    access: loaded.access,
    logger,
    registry,
    identity,
  })
  stopOnSignals(operator, logger)
  const servers: RunningServer[] = [
    await startProbeServer(health, operator.health),
    await startMetricsServer(metrics, registry),
  ]
  const [probes, metricsServer] = servers
  const { scope, namespace } = config
  logger.info(
    { scope, namespace, healthPort: probes?.port, metricsPort: metricsServer?.port },
    'the operator is starting',
  )
  const why = await operator.ended
  for (const server of servers) await server.stop()
  return why
}

function stopOnSignals(operator: RunningOperator, logger: Logger): void {
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    process.once(signal, () => {
      logger.info({ signal }, 'the operator is stopping')
      void operator.stop()
    })
  }
}
