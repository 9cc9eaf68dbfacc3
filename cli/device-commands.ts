/** Command lines about devices that made themselves known. */
import type { Command } from 'commander'
import type { ClusterFlags } from './cluster/connection.ts'
import { runApprove } from './commands/approve.ts'
import { runExport } from './commands/export.ts'
import { runExportCluster } from './commands/export-cluster.ts'
import type { PlaceFlags } from './commands/running-dev.ts'
import { inCluster, located } from './flags.ts'

type Surroundings = Parameters<typeof runApprove>[1]

interface ExportFlags extends ClusterFlags {
  hub?: string
  data: string
  cluster?: boolean
}

/** `done` gets the exit code. */
export function addDeviceCommands(
  program: Command,
  surroundings: Surroundings,
  done: (code: number) => void,
): void {
  inCluster(
    program.command('export').description('print the manifests of devices that made themselves known'),
  )
    .option('--hub <name>', 'only those of this hub')
    .option('--data <folder>', 'data folder of hublet dev', '.hublet')
    .option('--cluster', 'those of a cluster instead of hublet dev; also by -n or --context')
    .action(async ({ hub, data, cluster = false, ...flags }: ExportFlags) => {
      const isCluster = cluster || flags.namespace !== undefined || flags.context !== undefined
      done(
        isCluster
          ? await runExportCluster({ hub, ...flags }, surroundings)
          : runExport({ hub, data }, surroundings),
      )
    })
  located(program.command('approve').description('let devices in that made themselves known and wait for it'))
    .argument('<device...>', 'names of devices')
    .action(async (names: string[], { hub, ...flags }: PlaceFlags & { hub?: string }) => {
      done(await runApprove({ names, hub, ...flags }, surroundings))
    })
}
