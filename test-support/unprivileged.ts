import { chownSync, readdirSync } from 'node:fs'
import { join } from 'node:path'

/** Databases refuse to run as root; as anybody else they run as who we are. */
const isRoot = process.getuid?.() === 0
const NOBODY = 65_534

/** A command line that runs `command` without root's rights. */
export function unprivileged(command: string, args: readonly string[]): [string, string[]] {
  if (!isRoot) return [command, [...args]]
  return ['setpriv', [`--reuid=${NOBODY}`, `--regid=${NOBODY}`, '--clear-groups', '--', command, ...args]]
}

/** Lets such a program own a folder and what is in it. */
export function giveAway(folder: string): void {
  if (!isRoot) return
  chownSync(folder, NOBODY, NOBODY)
  for (const name of readdirSync(folder)) chownSync(join(folder, name), NOBODY, NOBODY)
}
