import { execFile } from 'node:child_process'
import { promisify } from 'node:util'

const LIMIT_MS = 10 * 60_000

/** Runs a program to its end and resolves to what it printed; rejects with what it complained of. */
export async function run(
  program: string,
  args: readonly string[],
  { input, cwd, env }: { input?: string; cwd?: string; env?: NodeJS.ProcessEnv } = {},
): Promise<string> {
  const options = { timeout: LIMIT_MS, maxBuffer: 64 * 1024 * 1024, cwd, env: { ...process.env, ...env } }
  const done = promisify(execFile)(program, [...args], options)
  done.child.stdin?.end(input)
  return (await done).stdout
}
