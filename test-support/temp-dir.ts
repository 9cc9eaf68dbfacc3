import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const made = new Set<string>()
let watching = false

/** A fresh directory for this process; all of them are removed when it ends, however it ends. */
export function makeTempDir(name = 'test'): string {
  const path = mkdtempSync(join(tmpdir(), `hublet-${name}-`))
  if (!watching) process.once('exit', removeAll)
  watching = true
  made.add(path)
  return path
}

/** Removes it before the process ends, for tests that make many. */
export function removeTempDir(path: string): void {
  rmSync(path, { recursive: true, force: true })
  made.delete(path)
}

function removeAll(): void {
  for (const path of made) rmSync(path, { recursive: true, force: true })
}
