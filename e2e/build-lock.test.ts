import { spawnSync } from 'node:child_process'
import { existsSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { beforeEach, expect, it } from 'vitest'
import { makeTempDir } from '../test-support/temp-dir.ts'
import { withBuildLock } from './build-lock.ts'

const LIMIT_MS = 60_000

let file: string
beforeEach(() => {
  file = join(makeTempDir('lock'), 'program')
})

const build = (work: () => Promise<unknown>, limitMs = LIMIT_MS) => withBuildLock(file, { limitMs }, work)

it('builds of one program go one after another, and leave no lock', async () => {
  let running = 0
  let most = 0
  const work = async () => {
    running += 1
    most = Math.max(most, running)
    await delay(20)
    running -= 1
  }
  await Promise.all(Array.from({ length: 4 }, () => build(work)))
  expect(most).toBe(1)
  expect(existsSync(`${file}.lock`)).toBe(false)
})

it('a build that fails lets the next one in', async () => {
  await expect(build(() => Promise.reject(new Error('no compiler')))).rejects.toThrow('no compiler')
  expect(await build(async () => 'built')).toBe('built')
})

it('the lock of a process that has died holds nobody up', async () => {
  const { pid } = spawnSync(process.execPath, ['-e', ''])
  writeFileSync(`${file}.lock`, String(pid))
  expect(await build(async () => 'built')).toBe('built')
})

it('the lock of a build that takes longer than one may holds nobody up', async () => {
  writeFileSync(`${file}.lock`, String(process.pid))
  const longAgo = Date.now() / 1000 - 2 * (LIMIT_MS / 1000)
  utimesSync(`${file}.lock`, longAgo, longAgo)
  expect(await build(async () => 'built')).toBe('built')
})

it('who waits is told for which lock, and waits for a limited time only', async () => {
  const told: string[] = []
  const limitMs = 400
  const [begun, done] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
  const held = build(() => {
    begun.resolve()
    return done.promise
  })
  // As if one build came after another: never too old, however long this machine takes.
  const later = Date.now() / 1000 + 3_600
  await begun.promise
  utimesSync(`${file}.lock`, later, later)
  const waiting = withBuildLock(file, { limitMs, onWait: (lock) => told.push(lock) }, async () => 'built')
  await expect(waiting).rejects.toThrow(`${file}.lock: another process has not let go of it for 800 ms`)
  expect(told).toEqual([`${file}.lock`])
  done.resolve()
  await held
})
