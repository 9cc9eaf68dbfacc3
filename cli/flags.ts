import { type Command, Option } from 'commander'

/** What several command lines have in common. */
export const FILENAME_HELP = 'file or folder of manifests, searched recursively; may be repeated'

/** Collects the values of an option that may be repeated. */
export const collect = (value: string, previous: string[] | undefined): string[] => [
  ...(previous ?? []),
  value,
]

/** Options of a command that talks to a cluster: `ClusterFlags`. */
export const inCluster = (command: Command): Command =>
  command
    .option('-n, --namespace <name>', "namespace; the context's when left out")
    .option('--context <name>', 'context of the kubeconfig')

/** Options of a command that is about a running `hublet dev` or a cluster: `PlaceFlags` and the hub. */
export const located = (command: Command): Command =>
  command
    .addOption(
      new Option(
        '--data <folder>',
        'data folder of a running hublet dev; without it .hublet where one is running, else a cluster',
      ).conflicts(['namespace', 'context']),
    )
    .option('-n, --namespace <name>', 'namespace of the cluster; that of the kubeconfig when left out')
    .option('--context <name>', 'context of the kubeconfig; the current one when left out')
    .option('--hub <name>', 'hub of the device; needed in hublet dev when several have one of that name')
