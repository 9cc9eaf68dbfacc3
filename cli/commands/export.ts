import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Writable } from 'node:stream'

export interface ExportOptions {
  /** The data folder of `hublet dev`. */
  data: string
  /** Only this hub. */
  hub: string | undefined
}

/**
 * Prints the manifests of the devices that made themselves known, for a repository of the user's: what stands
 * there wins over the data folder.
 * @returns the exit code: 0, also when there is none; 1 when there is no such folder.
 */
export function runExport(
  { data, hub }: ExportOptions,
  { stdout, stderr }: { stdout: Writable; stderr: Writable },
): number {
  if (!existsSync(data)) {
    stderr.write(`hublet: --data: expected the data folder of hublet dev, got ${JSON.stringify(data)}\n`)
    return 1
  }
  const hubs = readdirSync(data, { withFileTypes: true })
    .filter((entry) => entry.isDirectory() && (hub === undefined || entry.name === hub))
    .map(({ name }) => join(data, name, 'provisioned'))
    .filter((folder) => existsSync(folder))
  const texts = hubs.flatMap((folder) =>
    readdirSync(folder)
      .filter((name) => name.endsWith('.yaml'))
      .sort()
      .map((name) => readFileSync(join(folder, name), 'utf8')),
  )
  stdout.write(texts.join('---\n'))
  return 0
}
