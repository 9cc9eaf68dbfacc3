/** What is in the image below `/app`: product code, and the packages that it needs. */
import { execFile } from 'node:child_process'
import { cp, mkdir, readdir, rm } from 'node:fs/promises'
import path from 'node:path'
import { promisify } from 'node:util'
import { trackedFiles } from '../source-graph.ts'

const run = promisify(execFile)
const ROOT = path.resolve(import.meta.dirname, '../..')
const INSTALL_LIMIT_MS = 10 * 60_000

/** The Dockerfile copies the same. */
export const PRODUCT_FOLDERS = ['crds', 'contract', 'operator', 'broker', 'routes', 'sidecar', 'cli']
const TOP_FILES = ['LICENSE', 'package.json', 'package-lock.json']
const NOT_PRODUCT = /\.(test|fixture|contract|oracle)\.ts$|\/test-[\w-]+\.ts$|\/generate\.ts$/
/** Read by tools and editors only: a third of the size. */
const DEAD_WEIGHT = /\.(map|d\.[cm]?ts)$/

/** Tracked files of the product, without tests; `files` are paths from the root. */
export const productFiles = (files: readonly string[]): string[] =>
  files.filter(
    (file) =>
      TOP_FILES.includes(file) ||
      (PRODUCT_FOLDERS.includes(file.split('/', 1)[0]!) &&
        /\.(ts|lua)$/.test(file) &&
        !NOT_PRODUCT.test(file)),
  )

/** Machine code for another runtime than Node, for every platform that there is; nothing loads it. */
const OTHER_RUNTIME = /^bare-/

/** Copies the product into an empty `folder` and installs the packages of production there, by the lock. */
export async function gatherApp(folder: string): Promise<void> {
  await rm(folder, { recursive: true, force: true })
  for (const file of productFiles(trackedFiles())) {
    await mkdir(path.dirname(path.join(folder, file)), { recursive: true })
    await cp(path.join(ROOT, file), path.join(folder, file))
  }
  // Not `npm ci`, see the Makefile.
  await run(
    'npm',
    [
      'install',
      '--omit=dev',
      '--omit=optional',
      '--ignore-scripts',
      '--no-audit',
      '--no-fund',
      '--loglevel=error',
    ],
    { cwd: folder, timeout: INSTALL_LIMIT_MS },
  )
  const modules = path.join(folder, 'node_modules')
  for (const name of ['.package-lock.json', '.bin'])
    await rm(path.join(modules, name), { recursive: true, force: true })
  for (const name of (await readdir(modules)).filter((one) => OTHER_RUNTIME.test(one)))
    await rm(path.join(modules, name, 'prebuilds'), { recursive: true, force: true })
  for (const entry of await readdir(modules, { recursive: true, withFileTypes: true }))
    if (entry.isFile() && DEAD_WEIGHT.test(entry.name)) await rm(path.join(entry.parentPath, entry.name))
}
