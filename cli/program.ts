import { Argument, Command, CommanderError, InvalidArgumentError, Option } from 'commander'
import { CAN_I_ACTIONS, type CanIOptions, runCanI } from './commands/can-i.ts'
import { runExport } from './commands/export.ts'
import { runValidate } from './commands/validate.ts'
import { LOG_FORMATS, LOG_LEVELS, type LogFormat, type LogLevel } from './dev/logger.ts'
import { type DevSurroundings, runDev } from './dev/run-dev.ts'

export interface ProgramSurroundings extends DevSurroundings {
  version: string
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
  program
    .command('validate')
    .description('check manifests the way an API server would')
    .requiredOption('-f, --filename <path>', FILENAME_HELP, collect)
    .action(async ({ filename }: { filename: string[] }) => {
      code = await runValidate(filename, surroundings)
    })
  addCanI(program, async (options) => {
    code = await runCanI(options, surroundings)
  })
  program
    .command('export')
    .description('print the manifests of devices that made themselves known to hublet dev')
    .option('--hub <name>', 'only those of this hub')
    .option('--data <folder>', 'data folder of hublet dev', '.hublet')
    .action(({ hub, data }: { hub?: string; data: string }) => {
      code = runExport({ hub, data }, surroundings)
    })
  try {
    await program.parseAsync(args, { from: 'user' })
    return code
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error
    return error.exitCode === 0 ? 0 : USAGE_ERROR
  }
}

const FILENAME_HELP = 'file or folder of manifests, searched recursively; may be repeated'

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

interface CanIFlags {
  filename: string[]
  hub?: string
  data: string
  qos: '0' | '1' | '2'
  retain?: boolean
}

function addCanI(program: Command, run: (options: CanIOptions) => Promise<void>): void {
  program
    .command('can-i')
    .description('say whether a device may do something, and which rule decides')
    .argument('<device>', 'name of the device')
    .addArgument(new Argument('<action>', 'what it wants to do').choices(CAN_I_ACTIONS))
    .argument('[topic]', 'topic to publish on, or filter to subscribe to')
    .requiredOption('-f, --filename <path>', FILENAME_HELP, collect)
    .option('--hub <name>', 'hub of the device; needed when several have one of that name')
    .addOption(new Option('--qos <level>', 'quality of service').choices(['0', '1', '2']).default('0'))
    .option('--retain', 'publish a retained message')
    .option('--data <folder>', 'folder where hublet dev keeps device ids', '.hublet')
    .action(
      async (device: string, action: CanIOptions['action'], topic: string | undefined, flags: CanIFlags) => {
        const { filename, hub, data, qos, retain = false } = flags
        const level = Number(qos) as 0 | 1 | 2
        await run({ device, action, topic, hub, data, retain, qos: level, paths: filename })
      },
    )
}

function parsePort(value: string): number {
  const port = Number(value)
  if (Number.isInteger(port) && port >= 0 && port <= 65_535) return port
  throw new InvalidArgumentError('Expected a port from 0 (any free one) to 65535.')
}

const collect = (value: string, previous: string[] | undefined): string[] => [...(previous ?? []), value]
