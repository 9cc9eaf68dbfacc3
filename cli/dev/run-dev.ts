import { randomBytes } from 'node:crypto'
import { isIP } from 'node:net'
import { hostname, networkInterfaces } from 'node:os'
import type { Writable } from 'node:stream'
import { CONTROL_FILE } from '../../routes/control/control-client.ts'
import { startControl } from '../../routes/control/control-server.ts'
import { shownPath } from '../manifests/load-manifests.ts'
import { urlHost } from '../print/network-commands.ts'
import { makeStyle, wantsColours } from '../print/style.ts'
import type { ServerNames } from './authorities.ts'
import type { Surroundings } from './certificate-files.ts'
import { type DataFolder, openDataFolder } from './data-folder.ts'
import { DevSession } from './dev-session.ts'
import { parseDeviceCall } from './device-calls.ts'
import { makeObserver } from './hub-observer.ts'
import type { RunnerOptions, StartBroker } from './hub-runner.ts'
import { HubRunners } from './hub-runners.ts'
import { IdentityStore } from './identity-store.ts'
import { createLogger, isJsonLog, type LogFormat, type LogLevel } from './logger.ts'
import { startMetricsServer } from './metrics-server.ts'
import { isPortFree } from './port-probe.ts'
import { assignPorts } from './ports.ts'
import { ProvisionedDevices } from './provisioned-devices.ts'
import { Reporter } from './reporter.ts'
import { watchFolders } from './watch-folders.ts'

export interface DevOptions {
  /** Files and folders of manifests. */
  paths: readonly string[]
  /** Address to listen on. */
  bind: string
  /** Port of `/metrics`, or the next free one. */
  metricsPort: number
  /** The data folder. */
  data: string
  logLevel: LogLevel
  logFormat: LogFormat
}

/** The process around the command, so that tests and `main.ts` bring their own. */
export interface DevSurroundings {
  stdout: Writable & { isTTY?: boolean }
  stderr: Writable & { isTTY?: boolean }
  env: NodeJS.ProcessEnv
  startBroker: StartBroker
  /** Aborted when the command has to end. */
  signal: AbortSignal
}

/** Certificates of an hour's length are renewed in time, too. */
const RENEW_EVERY_MS = 60_000

/**
 * Serves the hubs of a folder until the signal aborts.
 * @returns the exit code: 0 after a clean stop, 1 when it could not start or could not keep what it held.
 */
export async function runDev(options: DevOptions, surroundings: DevSurroundings): Promise<number> {
  const { stderr, env } = surroundings
  const style = makeStyle(wantsColours(stderr, env))
  let folder: DataFolder | undefined
  try {
    if (isIP(options.bind) === 0)
      throw new Error(`--bind: expected an IP address such as 127.0.0.1, got ${JSON.stringify(options.bind)}`)
    folder = openDataFolder(options.data)
    return await serve(options, surroundings, folder)
  } catch (error) {
    stderr.write(`${style.error(`hublet: ${error instanceof Error ? error.message : String(error)}`)}\n`)
    return 1
  } finally {
    folder?.close()
  }
}

async function serve(
  options: DevOptions,
  surroundings: DevSurroundings,
  folder: DataFolder,
): Promise<number> {
  const { stdout, stderr, env, signal } = surroundings
  const logStyle = makeStyle(wantsColours(stderr, env))
  const logOptions = { level: options.logLevel, format: options.logFormat, stream: stderr }
  const logger = createLogger({ ...logOptions, style: logStyle })
  const reporter = new Reporter({
    output: stdout,
    errors: stderr,
    logger,
    isJson: isJsonLog(logOptions),
    style: makeStyle(wantsColours(stdout, env)),
  })
  // A runner asks the session for devices, and the session has the runners: one of them comes second.
  const provision: RunnerOptions['provision'] = (key, request) => session.provision(key, request)
  const enrol: RunnerOptions['enrol'] = (key, request) => session.enrol(key, request)
  const runners = makeRunners(options, surroundings, { folder, reporter, provision, enrol })
  const session = makeSession(options, runners, { folder, reporter })
  const result = await session.start()
  if (!result.started) {
    reporter.problems(result.problems, 'nothing is served, because the manifests are not valid')
    return 1
  }
  const metrics = await serveMetrics(options, runners)
  const control = await startControl(
    folder.file(CONTROL_FILE),
    () => runners.controlled(),
    async (asked) => {
      const call = parseDeviceCall(asked)
      if (call === undefined) return undefined
      return call.call === 'approve' ? await session.approve(call) : await session.changeDevice(call)
    },
  )
  reporter.page([`Metrics on http://${urlHost(hostFor(options.bind))}:${metrics.port}/metrics.`])
  reporter.page([`${reporter.style.good('Ready.')} Changes to the manifests apply at once. Ctrl-C stops.`])
  const watched = watchFolders({
    paths: options.paths,
    dataFolder: options.data,
    files: result.files,
    onChange: () => void session.reload(),
  })
  const renewal = setInterval(() => void session.renew(), RENEW_EVERY_MS)
  try {
    await aborted(signal)
  } finally {
    clearInterval(renewal)
    watched.close()
    logger.info('stopping')
    await Promise.all([metrics.close(), control.close()])
    await session.stop()
  }
  logger.info('stopped')
  return 0
}

interface Parts {
  folder: DataFolder
  reporter: Reporter
}

/** Not worth failing for: another program on the port only moves it. */
async function serveMetrics({ bind, metricsPort }: DevOptions, runners: HubRunners) {
  const taken = new Set(Object.values(runners.ports()).flatMap((ports) => Object.values(ports)))
  const assigned = await assignPorts({ http: metricsPort }, taken, (port) => isPortFree(bind, port))
  return await startMetricsServer({ host: bind, port: assigned.http ?? 0 }, () => runners.metrics())
}

function makeRunners(
  { bind }: DevOptions,
  { startBroker }: DevSurroundings,
  { folder, reporter, ...asks }: Parts & Pick<RunnerOptions, 'provision' | 'enrol'>,
): HubRunners {
  const file = (...parts: string[]) => shownPath(folder.file(...parts))
  return new HubRunners({
    startBroker,
    bind,
    file: folder.file,
    logger: reporter.logger,
    isPortFree,
    ...asks,
    observer: makeObserver({ reporter, host: hostFor(bind), file }),
  })
}

function makeSession(
  { paths, bind, data }: DevOptions,
  runners: HubRunners,
  { folder, reporter }: Parts,
): DevSession {
  const surroundings: Surroundings = {
    now: Date.now,
    random: randomBytes,
    usedCertificates: (hubKey) => runners.usedCertificates(hubKey),
  }
  const identities = new IdentityStore(folder, surroundings, serverNames(bind))
  return new DevSession({
    paths,
    dataFolder: data,
    identities,
    provisioned: new ProvisionedDevices(folder),
    runners,
    reporter,
    now: surroundings.now,
  })
}

const isWildcard = (bind: string) => bind === '0.0.0.0' || bind === '::'
const isLoopback = (bind: string) => bind === '::1' || bind.startsWith('127.')

const hostFor = (bind: string): string => (isWildcard(bind) || isLoopback(bind) ? 'localhost' : bind)

/** Where everyone may connect, they do so by any address of this machine. */
function serverNames(bind: string): ServerNames {
  const local = ['127.0.0.1', '::1']
  if (!isWildcard(bind)) return { dnsNames: ['localhost'], ipAddresses: [...local, bind] }
  const addresses = Object.values(networkInterfaces()).flatMap((all) => all ?? [])
  return {
    dnsNames: ['localhost', ...(/^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$/i.test(hostname()) ? [hostname()] : [])],
    // Link-local addresses need a zone to be used, which no certificate can hold.
    ipAddresses: [
      ...local,
      ...addresses.map(({ address }) => address).filter((address) => !address.startsWith('fe80:')),
    ],
  }
}

async function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return
  await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }))
}
