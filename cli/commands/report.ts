import type { Writable } from 'node:stream'
import { ClusterError } from '../cluster/connection.ts'
import { type ReportFile, writeBundle } from '../report/bundle.ts'

export interface ReportParts {
  /** What it is about, for the name of the file: a namespace, or `dev`. */
  about: string
  /** Path of the bundle; made up from the time when left out. */
  out: string | undefined
  files: readonly ReportFile[]
  version: string
  /** ms since the epoch. */
  now: number
}

/** Writes the bundle and says where it is. @returns the exit code. */
export function writeReport(parts: ReportParts, { stdout }: { stdout: Writable }): number {
  const { about, files, version, now } = parts
  const time = new Date(now).toISOString()
  const { out = `hublet-report-${about}-${time.replace(/[:.]/g, '-')}.tar.gz` } = parts
  const { versions, platform, arch } = process
  const summary = { hublet: version, node: versions.node, platform, arch, time, about }
  const first = { name: 'summary.json', content: `${JSON.stringify(summary, undefined, 2)}\n` }
  try {
    writeBundle(out, [first, ...files], now)
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    throw new ClusterError(`${out}: ${code === 'EEXIST' ? 'there is such a file already' : message}`, {
      cause: error,
    })
  }
  stdout.write(
    `${out}\nNo Secret was read, and what looks like one is left out. Look into it before you pass it on.\n`,
  )
  return 0
}
