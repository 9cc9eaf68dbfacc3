/** The archive of a support bundle. */
import { writeFileSync } from 'node:fs'
import { gzipSync } from 'node:zlib'
import { createTar } from 'nanotar'

export interface ReportFile {
  /** Path inside the bundle, at most 90 characters. */
  name: string
  content: string
}

/** Two blocks of zeros end an archive; nanotar leaves them out where the entries fill its last record. */
const END_OF_ARCHIVE = new Uint8Array(1024)

/** Writes a new file, for the owner alone; throws EEXIST where there is one. */
export function writeBundle(path: string, files: readonly ReportFile[], now: number): void {
  const entries = files.map(({ name, content }) => ({ name: `hublet-report/${name}`, data: content }))
  const tar = createTar(entries, { attrs: { mode: '600', mtime: now, uid: 0, gid: 0 } })
  writeFileSync(path, gzipSync(Buffer.concat([tar, END_OF_ARCHIVE])), { mode: 0o600, flag: 'wx' })
}
