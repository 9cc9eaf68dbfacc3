/** Global set-up of every project: one folder for all temporary files of a run, removed when it ends. */
import { chmodSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** Set once a run has its folder: projects load this file each for itself. */
const MADE = 'HUBLET_TEST_TMPDIR'

/** Workers are ended by a signal, after which none of them tidies up. Their `tmpdir()` is this folder. */
export function setup(): (() => void) | undefined {
  if (process.env[MADE] !== undefined) return undefined
  // A short name: the path of a Unix socket in it has a hundred characters at most.
  const folder = mkdtempSync(join(tmpdir(), 'hublet-'))
  // As /tmp itself is: databases run as users of their own. What others may read is up to the folders inside.
  chmodSync(folder, 0o1777)
  process.env['TMPDIR'] = folder
  process.env[MADE] = folder
  return () => rmSync(folder, { recursive: true, force: true, maxRetries: 5 })
}
