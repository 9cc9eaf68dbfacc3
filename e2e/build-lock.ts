/**
 * One build of a program at a time, whoever asks for it: two test runs on one machine would otherwise compile the same
 * for minutes, side by side. The lock is a file that names its holder; one whose holder is gone, or has held it longer
 * than a build may take, counts for nothing.
 */
import { mkdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'

const LOOK_MS = 200

export interface LockOptions {
  /** How long a build may take, ms: how long others wait for it, and when its lock counts for nothing. */
  limitMs: number
  /** Told once, when somebody else is at it. */
  onWait?: (lock: string) => void
}

/** Resolves to `file`, which `build` writes, under another name, where it is not there yet. */
export async function buildOnce(
  file: string,
  options: LockOptions,
  build: (unfinished: string) => Promise<unknown>,
): Promise<string> {
  if (await isFile(file)) return file
  await mkdir(path.dirname(file), { recursive: true })
  return await withBuildLock(file, options, async () => {
    if (await isFile(file)) return file
    const unfinished = `${file}.${process.pid}.tmp`
    await build(unfinished)
    // Renamed when complete: an interrupted build never leaves a program that looks ready.
    await rename(unfinished, file)
    return file
  })
}

export const isFile = async (file: string): Promise<boolean> =>
  (await stat(file).catch(() => undefined))?.isFile() ?? false

/**
 * Runs `work` while no other process does for the same `file`. Rejects when another has held the lock for longer than
 * `limitMs` in all. Two that find the same lock stale at the same moment may both go on: a build that is done twice
 * does no harm, as its output is renamed when it is complete.
 */
export async function withBuildLock<T>(
  file: string,
  { limitMs, onWait }: LockOptions,
  work: () => Promise<T>,
): Promise<T> {
  const lock = `${file}.lock`
  const deadline = performance.now() + 2 * limitMs
  let isTold = false
  while (!(await taken(lock))) {
    if (await isStale(lock, limitMs)) {
      await rm(lock, { force: true })
      continue
    }
    if (performance.now() > deadline)
      throw new Error(`${lock}: another process has not let go of it for ${2 * limitMs} ms; delete it`)
    if (!isTold) onWait?.(lock)
    isTold = true
    await delay(LOOK_MS)
  }
  try {
    return await work()
  } finally {
    await rm(lock, { force: true })
  }
}

async function taken(lock: string): Promise<boolean> {
  try {
    await writeFile(lock, String(process.pid), { flag: 'wx' })
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false
    throw error
  }
}

async function isStale(lock: string, limitMs: number): Promise<boolean> {
  try {
    const age = Date.now() - (await stat(lock)).mtimeMs
    if (age > limitMs) return true
    const pid = Number(await readFile(lock, 'utf8'))
    // Made and not written yet: its holder is about to. A write takes no second.
    return pid > 0 ? !isAlive(pid) : age > 1_000
  } catch {
    // Gone meanwhile: the next attempt to take it tells.
    return false
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    // Somebody else's process is alive as well.
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}
