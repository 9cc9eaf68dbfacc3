/** Command lines about hubs of a cluster; as `kubectl hublet …` too. */
import type { Writable } from 'node:stream'
import type { Command } from 'commander'
import { type ClusterFlags, type Connection, connect, problemText } from './cluster/connection.ts'
import { runCredentials } from './commands/credentials.ts'
import { writeReport } from './commands/report.ts'
import { runStatus } from './commands/status.ts'
import { collect, FILENAME_HELP, inCluster } from './flags.ts'
import { clusterReport } from './report/cluster-report.ts'
import { devReport } from './report/dev-report.ts'

interface Surroundings {
  version: string
  stdout: Writable
  stderr: Writable
}

/** `done` gets the exit code. */
export function addClusterCommands(
  program: Command,
  surroundings: Surroundings,
  done: (code: number) => void,
): void {
  const on = async (flags: ClusterFlags, run: (connection: Connection) => Promise<number>) =>
    done(await told(surroundings, async () => await connected(flags, run)))
  inCluster(program.command('status').description('say how hubs are, and what of them is not ready'))
    .argument('[hub]', 'name of the hub; all of the namespace when left out')
    .action(async (hub: string | undefined, flags: ClusterFlags) => {
      await on(flags, async (connection) => await runStatus({ hub }, connection, surroundings))
    })
  inCluster(program.command('credentials').description('write certificate and key of a device into a folder'))
    .argument('<device>', 'name of the Device')
    .option('-o, --out <folder>', 'the folder; named as the device when left out')
    .option('--force', 'replace files that are there', false)
    .action(async (device: string, { out, force, ...flags }: CredentialsFlags) => {
      await on(
        flags,
        async (connection) => await runCredentials({ device, out, force }, connection, surroundings),
      )
    })
  addReport(program, surroundings, done)
}

type CredentialsFlags = ClusterFlags & { out?: string; force: boolean }
type ReportFlags = ClusterFlags & { hub?: string; out?: string; filename?: string[]; data: string }

function addReport(program: Command, surroundings: Surroundings, done: (code: number) => void): void {
  inCluster(
    program.command('report').description('gather what helps to find a fault into one file, without secrets'),
  )
    .option('--hub <name>', 'only what belongs to this hub')
    .option('-o, --out <file>', 'the file to write, a .tar.gz')
    .option('-f, --filename <path>', `of hublet dev and no cluster: ${FILENAME_HELP}`, collect)
    .option('--data <folder>', 'data folder of hublet dev', '.hublet')
    .action(async ({ hub, out, filename, data, ...flags }: ReportFlags) => {
      const common = { out, version: surroundings.version, now: Date.now() }
      const code = await told(surroundings, async () => {
        if (filename !== undefined) {
          const files = await devReport({ paths: filename, data })
          return writeReport({ about: 'dev', files, ...common }, surroundings)
        }
        return await connected(flags, async (connection) => {
          const files = await clusterReport({ hub }, connection)
          return writeReport({ about: connection.namespace, files, ...common }, surroundings)
        })
      })
      done(code)
    })
}

async function connected(
  flags: ClusterFlags,
  run: (connection: Connection) => Promise<number>,
): Promise<number> {
  const connection = await connect(flags)
  try {
    return await run(connection)
  } finally {
    connection.client.close()
  }
}

/** What is for the user to put right is one line and not a stack. */
async function told({ stderr }: Surroundings, run: () => Promise<number>): Promise<number> {
  try {
    return await run()
  } catch (error) {
    stderr.write(`${problemText(error)}\n`)
    return 1
  }
}
