import { appendFileSync, mkdirSync, renameSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { afterAll, describe, expect, it } from 'vitest'
import { makeTempDir } from '../../test-support/temp-dir.ts'
import { waitUntil } from '../../test-support/wait.ts'
import { listManifestFiles } from '../manifests/manifest-files.ts'
import { watchFolders } from './watch-folders.ts'

const open: { close(): void }[] = []
afterAll(() => {
  for (const watched of open) watched.close()
})

/** A watched folder with a file `a.yaml` in it. */
async function watching(paths = (root: string) => [root]) {
  const root = makeTempDir('watch')
  mkdirSync(join(root, 'sub'))
  writeFileSync(join(root, 'a.yaml'), 'a: 1\n')
  const dataFolder = join(root, 'data')
  mkdirSync(dataFolder)
  const seen = { changes: 0 }
  const { files } = await listManifestFiles(paths(root), dataFolder)
  const watched = watchFolders({ paths: paths(root), dataFolder, files, onChange: () => seen.changes++ })
  open.push(watched)
  return { root, seen }
}

/** A change is told within a second; the test machine gets one more. */
const SOON_MS = 2_000
/** Longer than a look, a grace and a poll together. */
const LONG_ENOUGH_MS = 1_300

// At once, because each waits to see that nothing further happens.
describe.concurrent('watchFolders', () => {
  it.each<[string, (root: string) => void]>([
    ['an edit', (root) => appendFileSync(join(root, 'a.yaml'), 'b: 2\n')],
    ['an edit of the same length', (root) => writeFileSync(join(root, 'a.yaml'), 'a: 2\n')],
    ['a new file', (root) => writeFileSync(join(root, 'b.yaml'), 'b: 1\n')],
    ['a new file in a folder below', (root) => writeFileSync(join(root, 'sub', 'c.json'), '{}')],
    ['a removed file', (root) => rmSync(join(root, 'a.yaml'))],
    ['a renamed file', (root) => renameSync(join(root, 'a.yaml'), join(root, 'z.yaml'))],
    [
      'a file that was replaced, as editors do',
      (root) => {
        writeFileSync(join(root, '.a.yaml.swp'), 'a: 2\n')
        renameSync(join(root, '.a.yaml.swp'), join(root, 'a.yaml'))
      },
    ],
    [
      'a new folder with a file',
      (root) => {
        mkdirSync(join(root, 'new'))
        writeFileSync(join(root, 'new', 'd.yml'), 'd: 1\n')
      },
    ],
  ])('tells %s within a second, and once', async (_, act) => {
    const { root, seen } = await watching()
    act(root)
    await waitUntil('the change is told', () => seen.changes === 1, { timeoutMs: SOON_MS })
    await delay(LONG_ENOUGH_MS)
    expect(seen.changes).toBe(1)
  })

  it('tells one change for a burst of writes', async () => {
    const { root, seen } = await watching()
    for (let i = 0; i < 10; i += 1) appendFileSync(join(root, 'a.yaml'), `b${i}: 1\n`)
    await waitUntil('the change is told', () => seen.changes > 0)
    await delay(LONG_ENOUGH_MS)
    expect(seen.changes).toBe(1)
  })

  it('does not take the moment in which a file is empty for the removal of its objects', async () => {
    const { root, seen } = await watching()
    truncateSync(join(root, 'a.yaml'))
    await delay(150)
    expect(seen.changes).toBe(0)
    writeFileSync(join(root, 'a.yaml'), 'a: 1\nb: 2\n')
    await waitUntil('the change is told', () => seen.changes === 1)
  })

  it('takes a file that stays empty for what it is', async () => {
    const { root, seen } = await watching()
    truncateSync(join(root, 'a.yaml'))
    await waitUntil('the change is told', () => seen.changes === 1, { timeoutMs: SOON_MS })
  })

  it('is silent about other files and about the data folder', async () => {
    const { root, seen } = await watching()
    writeFileSync(join(root, 'README.md'), '')
    writeFileSync(join(root, 'data', 'x.yaml'), '')
    writeFileSync(join(root, '.hidden.yaml'), '')
    await delay(LONG_ENOUGH_MS)
    expect(seen.changes).toBe(0)
  })

  it('watches a single file, also when it is replaced', async () => {
    const { root, seen } = await watching((folder) => [join(folder, 'a.yaml')])
    writeFileSync(join(root, 'b.yaml'), 'b: 1\n')
    writeFileSync(join(root, 'new'), 'a: 2\n')
    renameSync(join(root, 'new'), join(root, 'a.yaml'))
    await waitUntil('the change is told', () => seen.changes === 1, { timeoutMs: SOON_MS })
  })

  it('sees a folder come back that was moved away', async () => {
    const { root, seen } = await watching()
    renameSync(root, `${root}-away`)
    await waitUntil('the removal is told', () => seen.changes === 1)
    renameSync(`${root}-away`, root)
    await waitUntil('the return is told', () => seen.changes === 2)
  })
})
