/** Command lines about routes and their dead letters. */
import type { Writable } from 'node:stream'
import { type Command, InvalidArgumentError, Option } from 'commander'
import { MAX_PAGE } from '../routes/control/control-calls.ts'
import { type ControlOptions, runDlqChange, runDlqList, runDlqShow, runRoutes } from './commands/dlq.ts'
import { runRouteTest } from './commands/try-route.ts'
import { collect, FILENAME_HELP } from './flags.ts'

interface Streams {
  stdout: Writable
  stderr: Writable
}

/** `done` gets the exit code. */
export function addRouteCommands(program: Command, streams: Streams, done: (code: number) => void): void {
  const route = program.command('route').description('look at routes, and try them')
  route
    .command('test')
    .description('say what a route would do with a message, without doing it')
    .argument('<route>', 'name of the route')
    .requiredOption('-f, --filename <path>', FILENAME_HELP, collect)
    .requiredOption('--topic <topic>', 'topic of the message')
    .option('--payload <text>', 'payload of the message', '')
    .option('--hub <name>', 'hub of the route; needed when several have one of that name')
    .addOption(new Option('--qos <level>', 'quality of service').choices(['0', '1', '2']).default('0'))
    .option('--retain', 'a retained message')
    .action(async (name: string, { filename, hub, topic, payload, qos, retain = false }: TestFlags) => {
      const message = { topic, payload, qos: Number(qos) as 0 | 1 | 2, retain }
      done(await runRouteTest({ route: name, paths: filename, hub, ...message }, streams))
    })
  running(route.command('list').description('how the routes of the running hubs are')).action(
    async (flags: RunningFlags) => done(await runRoutes(asked(flags), streams)),
  )
  addDlq(program, streams, done)
}

function addDlq(program: Command, streams: Streams, done: (code: number) => void): void {
  const dlq = program.command('dlq').description('dead letters: messages that a route could not deliver')
  running(dlq.command('list').description('the dead letters of a route, oldest first'))
    .argument('<route>', 'name of the route')
    .addOption(new Option('--limit <count>', 'how many').default(20).argParser(parseLimit))
    .option('--after <position>', 'those after this one')
    .action(async (name: string, flags: RunningFlags & { limit: number; after?: string }) =>
      done(
        await runDlqList({ ...asked(flags), route: name, limit: flags.limit, after: flags.after }, streams),
      ),
    )
  running(dlq.command('show').description('one dead letter whole, as JSON'))
    .argument('<route>', 'name of the route')
    .argument('<position>', 'as dlq list shows it')
    .action(async (name: string, position: string, flags: RunningFlags) =>
      done(await runDlqShow({ ...asked(flags), route: name, position }, streams)),
    )
  const changes = [
    ['replay', 'give dead letters back to their route'],
    ['purge', 'remove dead letters for good'],
  ] as const
  for (const [change, description] of changes)
    running(dlq.command(change).description(description))
      .argument('<route>', 'name of the route')
      .argument('[positions...]', 'as dlq list shows them')
      .option('--all', 'all that there are')
      .action(async (name: string, positions: string[], flags: RunningFlags & { all?: boolean }) => {
        const chosen = { positions, all: flags.all === true }
        done(await runDlqChange({ ...asked(flags), route: name, change, ...chosen }, streams))
      })
}

interface TestFlags {
  filename: string[]
  hub?: string
  topic: string
  payload: string
  qos: '0' | '1' | '2'
  retain?: boolean
}

interface RunningFlags {
  data: string
  hub?: string
  json?: boolean
}

/** What every command has that asks a running hublet. */
const running = (command: Command): Command =>
  command
    .option('--data <folder>', 'data folder of the hublet that runs', '.hublet')
    .option('--hub <name>', 'only this hub')
    .option('--json', 'for programs')

const asked = ({ data, hub, json }: RunningFlags): ControlOptions => ({ data, hub, json: json === true })

function parseLimit(value: string): number {
  const limit = Number(value)
  if (Number.isInteger(limit) && limit >= 1 && limit <= MAX_PAGE) return limit
  throw new InvalidArgumentError(`Expected a number from 1 to ${MAX_PAGE}.`)
}
