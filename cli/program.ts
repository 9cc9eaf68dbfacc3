import type { Readable } from 'node:stream'
import { Argument, Command, CommanderError, InvalidArgumentError, Option } from 'commander'
import { addCertificateCommands } from './certificate-commands.ts'
import { addClusterCommands } from './cluster-commands.ts'
import { CAN_I_ACTIONS, type CanIOptions, runCanI } from './commands/can-i.ts'
import { runValidate, VALIDATE_OUTPUTS, type ValidateOptions } from './commands/validate.ts'
import { LOG_FORMATS, LOG_LEVELS, type LogFormat, type LogLevel } from './dev/logger.ts'
import { type DevSurroundings, runDev } from './dev/run-dev.ts'
import { addDeviceCommands } from './device-commands.ts'
import { collect, FILENAME_HELP, inCluster } from './flags.ts'
import { addRouteCommands } from './route-commands.ts'

export interface ProgramSurroundings extends DevSurroundings {
  version: string
  stdin: Readable
}

/** A wrong option or argument, as most commands have it. */
const USAGE_ERROR = 2

/**
 * Runs one command line.
 * @param args without the program itself
 * @returns the exit code; `main.ts` is what ends the process.
 */
export async function runProgram(
  args: readonly string[],
  surroundings: ProgramSurroundings,
): Promise<number> {
  let code = 0
  const program = new Command('hublet')
    .description('IoT hubs from manifests.')
    .version(surroundings.version)
    .exitOverride()
    .configureOutput({
      writeOut: (text) => surroundings.stdout.write(text),
      writeErr: (text) => surroundings.stderr.write(text),
    })
  addDev(program, async (options) => {
    code = await runDev(options, surroundings)
  })
  addValidate(program, async (options) => {
    code = await runValidate(options, surroundings)
  })
  addCanI(program, async (options) => {
    code = await runCanI(options, surroundings)
  })
  const done = (result: number) => {
    code = result
  }
  addRouteCommands(program, surroundings, done)
  addClusterCommands(program, surroundings, done)
  addCertificateCommands(program, surroundings, done)
  addDeviceCommands(program, surroundings, done)
  try {
    await program.parseAsync(args, { from: 'user' })
    return code
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error
    return error.exitCode === 0 ? 0 : USAGE_ERROR
  }
}

interface DevFlags {
  filename: string[]
  bind: string
  metricsPort: number
  data: string
  logLevel: LogLevel
  logFormat: LogFormat
}

function addDev(program: Command, run: (options: Parameters<typeof runDev>[0]) => Promise<void>): void {
  program
    .command('dev')
    .description('serve the hubs of a folder of manifests on this machine, without a cluster')
    .requiredOption('-f, --filename <path>', FILENAME_HELP, collect)
    .option('--bind <address>', 'IP address to listen on', '127.0.0.1')
    .addOption(
      new Option('--metrics-port <port>', 'port of /metrics; the next free one when it is taken')
        .default(9090)
        .argParser(parsePort),
    )
    .option('--data <folder>', 'folder for keys, identities and messages', '.hublet')
    .addOption(new Option('--log-level <level>', 'least level to log').choices(LOG_LEVELS).default('info'))
    .addOption(
      new Option('--log-format <format>', 'auto: text on a terminal, JSON elsewhere')
        .choices(LOG_FORMATS)
        .default('auto'),
    )
    .action(async ({ filename, bind, metricsPort, data, logLevel, logFormat }: DevFlags) => {
      await run({ paths: filename, bind, metricsPort, data, logLevel, logFormat })
    })
}

type ValidateFlags = Omit<ValidateOptions, 'paths'> & { filename: string[] }

function addValidate(program: Command, run: (options: ValidateOptions) => Promise<void>): void {
  program
    .command('validate')
    .description('check manifests the way an API server would, without one')
    .requiredOption('-f, --filename <path>', `${FILENAME_HELP}; - is the standard input`, collect)
    .addOption(new Option('-o, --output <format>', 'how to tell').choices(VALIDATE_OUTPUTS).default('text'))
    .option('--strict', 'a reference that nothing among the manifests answers is a problem', false)
    .option('--skip-other-kinds', 'pass over objects of other API groups', false)
    .action(async ({ filename, ...flags }: ValidateFlags) => await run({ ...flags, paths: filename }))
}

interface CanIFlags {
  filename?: string[]
  network: boolean
  hub?: string
  namespace?: string
  context?: string
  data: string
  qos: '0' | '1' | '2'
  retain?: boolean
}

function addCanI(program: Command, run: (options: CanIOptions) => Promise<void>): void {
  inCluster(
    program
      .command('can-i')
      .description('say whether a device or the token of a network may do something, and which rule decides'),
  )
    .argument('<name>', 'name of the device; of the network with --network')
    .addArgument(new Argument('<action>', 'what it wants to do').choices(CAN_I_ACTIONS))
    .argument('[topic]', 'topic to publish on, or filter to subscribe to')
    .option('-f, --filename <path>', `${FILENAME_HELP}; the objects of a cluster when left out`, collect)
    .option('--network', 'whoever has the token of this REST or Sigfox network', false)
    .option('--hub <name>', 'its hub; needed when several have one of that name')
    .addOption(new Option('--qos <level>', 'quality of service').choices(['0', '1', '2']).default('0'))
    .option('--retain', 'publish a retained message')
    .option('--data <folder>', 'folder where hublet dev keeps device ids', '.hublet')
    .action(
      async (name: string, action: CanIOptions['action'], topic: string | undefined, flags: CanIFlags) => {
        const { filename, hub, qos, network: isNetwork, retain = false, ...rest } = flags
        const level = Number(qos) as 0 | 1 | 2
        const asked = { name, isNetwork, action, topic, hub, retain, qos: level }
        await run({ ...asked, paths: filename, ...rest })
      },
    )
}

function parsePort(value: string): number {
  const port = Number(value)
  if (Number.isInteger(port) && port >= 0 && port <= 65_535) return port
  throw new InvalidArgumentError('Expected a port from 0 (any free one) to 65535.')
}
