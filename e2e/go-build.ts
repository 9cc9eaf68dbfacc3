/** Builds programs of the tests that come as Go source, once, into `.cache`. */
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { buildOnce } from './build-lock.ts'

const run = promisify(execFile)
const BUILD_LIMIT_MS = 20 * 60_000

export interface GoProgram {
  /** Where the go.mod is. */
  folder: string
  /** Import path, or path inside the module. */
  source: string
  /** Where the program is to be. Its name holds the version: what is there is taken. */
  file: string
  /** What to say where there is no Go. */
  instead: string
}

export async function goBuild({ folder, source, file, instead }: GoProgram): Promise<string> {
  return await buildOnce(file, { limitMs: BUILD_LIMIT_MS }, async (unfinished) => {
    await run('go', ['version']).catch(() => {
      throw new Error(instead)
    })
    const args = ['build', '-trimpath', '-buildvcs=false', '-ldflags', '-s -w', '-o', unfinished, source]
    const env = { ...process.env, CGO_ENABLED: '0' }
    await run('go', args, { cwd: folder, env, timeout: BUILD_LIMIT_MS })
  })
}
