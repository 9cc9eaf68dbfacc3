import type { Writable } from 'node:stream'
import { stringify } from 'yaml'
import type { Device } from '../../crds/device.ts'
import { PROVISIONED_LABEL } from '../../operator/compile/provisioned-device.ts'
import type { ClusterFlags } from '../cluster/connection.ts'
import { readDevices, withCluster } from '../cluster/read-objects.ts'

export interface ExportClusterOptions extends ClusterFlags {
  /** Only devices of this hub. */
  hub: string | undefined
}

/**
 * Prints the manifests of the devices of a cluster that made themselves known: what a person would have written, and
 * nothing that the cluster has added.
 * @returns the exit code: 0, also when there is none.
 */
export function runExportCluster(
  { hub, ...flags }: ExportClusterOptions,
  surroundings: { stdout: Writable; stderr: Writable },
): Promise<number> {
  return withCluster(flags, surroundings, async (cluster) => {
    const devices = (await readDevices(cluster))
      .filter(({ metadata }) => metadata.labels?.[PROVISIONED_LABEL] !== undefined)
      .filter(({ spec }) => hub === undefined || spec.hubRef.name === hub)
      .sort((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1))
    surroundings.stdout.write(devices.map((device) => stringify(manifestOf(device))).join('---\n'))
    return 0
  })
}

function manifestOf({ apiVersion, kind, metadata, spec }: Device) {
  const { name, namespace, labels, annotations } = metadata
  return { apiVersion, kind, metadata: { name, namespace, labels, annotations }, spec }
}
