/** The image that the charts of `e2e/fixtures` came with: from their commit, as whoever upgrades has it. */
import { copyFile, mkdir, mkdtemp, rename, rm, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { isFile } from '../build-lock.ts'
import { run } from './run.ts'
import { ROOT, say } from './state.ts'

/** Whose charts the fixtures are. */
const COMMIT = '8ebdb2dbcf664b9f2c31900838d29672512a7014'
export const PREVIOUS_IMAGE = 'localhost/hublet:previous'
const ARCHIVE = path.join(ROOT, `.cache/previous-image/${COMMIT}.oci.tar`)

/**
 * Resolves to its archive. Built once, by the recipe of that commit: under a minute. undefined: the commit is not in the
 * history that is here, as in a shallow clone.
 */
export async function previousImageArchive(): Promise<string | undefined> {
  if (await isFile(ARCHIVE)) return ARCHIVE
  const git = (...args: string[]) => run('git', ['-C', ROOT, ...args])
  const isThere = await git('cat-file', '-e', `${COMMIT}^{commit}`).then(
    () => true,
    () => false,
  )
  if (!isThere) {
    say(`commit ${COMMIT} is not here (git fetch --unshallow): upgrades begin with the charts of then alone`)
    return undefined
  }
  say('building the image to upgrade from')
  const folder = await mkdtemp(path.join(tmpdir(), 'hublet-previous-'))
  try {
    await run('git', ['clone', '--quiet', '--shared', '--no-checkout', ROOT, folder])
    await run('git', ['-C', folder, 'checkout', '--quiet', '--detach', COMMIT])
    await checkCharts(folder)
    // For the recipe alone: the image gets packages by the lock of its commit.
    await symlink(path.join(ROOT, 'node_modules'), path.join(folder, 'node_modules'))
    await run(process.execPath, ['scripts/image/main.ts'], { cwd: folder, env: { IMAGE: PREVIOUS_IMAGE } })
    await mkdir(path.dirname(ARCHIVE), { recursive: true })
    const unfinished = `${ARCHIVE}.${process.pid}`
    await copyFile(path.join(folder, '.cache/image/hublet.oci.tar'), unfinished)
    await rename(unfinished, ARCHIVE)
  } finally {
    await rm(folder, { recursive: true })
  }
  return ARCHIVE
}

/** An image beside charts of another commit is what nobody has. */
async function checkCharts(folder: string): Promise<void> {
  const unpacked = path.join(folder, '.cache/fixtures')
  await mkdir(unpacked, { recursive: true })
  for (const chart of ['hublet', 'hublet-crds']) {
    await run('tar', ['-xzf', path.join(ROOT, `e2e/fixtures/${chart}-previous.tgz`), '-C', unpacked])
    await run('diff', ['-r', path.join(unpacked, chart), path.join(folder, 'charts', chart)])
  }
}
