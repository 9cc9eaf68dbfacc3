import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { runProgram } from '../../test-support/run-program.ts'
import { makeTempDir, removeTempDir } from '../../test-support/temp-dir.ts'
import { gatherApp } from './app-files.ts'
import { type ImagePackage, readContents } from './contents.ts'
import { writeOciArchive } from './oci-archive.ts'
import { type Lock, softwareBill } from './software-bill.ts'

let folder: string
beforeAll(() => {
  folder = makeTempDir('image')
})
afterAll(() => removeTempDir(folder))

/** How programs and libraries of Linux, Windows and macOS begin. */
const MAGIC = ['7f454c46', '4d5a9000', 'cffaedfe', 'cafebabe']

/** Files that would not run on every architecture; one layer serves them all. */
const machineCode = (root: string): string[] =>
  readdirSync(root, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => path.join(entry.parentPath, entry.name))
    .filter((file) => MAGIC.includes(readFileSync(file).subarray(0, 4).toString('hex')))

describe('the files of the image', () => {
  it('start operator, broker and route worker with packages of production only', async () => {
    const app = path.join(folder, 'app')
    await gatherApp(app)
    for (const program of ['operator/main.ts', 'broker/main.ts', 'sidecar/main.ts']) {
      const { code, stdout, stderr } = await runProgram(process.execPath, [program, '--help'], { cwd: app })
      expect({ code, stderr }).toMatchObject({ code: 0 })
      expect(stdout.toString()).toContain(`Usage: node ${program}`)
    }
    expect(machineCode(app)).toEqual([])
    const { devDependencies } = JSON.parse(readFileSync(path.join(app, 'package.json'), 'utf8')) as {
      devDependencies: object
    }
    const installed = readdirSync(path.join(app, 'node_modules'))
    for (const name of ['vitest', 'typescript', 'node']) {
      expect(Object.keys(devDependencies)).toContain(name)
      expect(installed).not.toContain(name)
    }
  }, 300_000)

  it('have a bill that names every package of production, and no other', async () => {
    const archive = path.join(folder, 'bill.tar')
    const images = [{ architecture: 'amd64', layers: [{ folder: path.join(folder, 'app'), at: 'app' }] }]
    const workFolder = path.join(folder, 'bill')
    await writeOciArchive({ images, config: {}, name: 'localhost/test:1', workFolder, archive })
    const lock = JSON.parse(readFileSync('package-lock.json', 'utf8')) as Lock
    const bill = JSON.parse(softwareBill(await readContents(archive, workFolder), lock)) as {
      bomFormat: string
      components: Array<{ name: string; version: string }>
    }
    expect(bill.bomFormat).toBe('CycloneDX')
    const named = new Set(bill.components.map(({ name, version }) => `${name}@${version}`))
    expect([...named].sort()).toEqual(installedPackages(path.join(folder, 'app/node_modules')))
    expect(bill.components.filter((one) => !('hashes' in one && 'licenses' in one))).toEqual([])
  })
})

/** As npm lists them. */
function installedPackages(modules: string): string[] {
  const folders = readdirSync(modules).flatMap((name) =>
    name.startsWith('@') ? readdirSync(path.join(modules, name)).map((one) => `${name}/${one}`) : [name],
  )
  const all = folders.flatMap((name) => {
    const own = path.join(modules, name)
    const { version } = JSON.parse(readFileSync(path.join(own, 'package.json'), 'utf8')) as {
      version: string
    }
    const inner = path.join(own, 'node_modules')
    return [`${name}@${version}`, ...(existsSync(inner) ? installedPackages(inner) : [])]
  })
  return [...new Set(all)].sort()
}

describe('the bill of an image', () => {
  const lock: Lock = {
    version: '1.0.0',
    packages: {
      '': { version: '1.0.0' },
      'node_modules/a': { version: '1.0.0', license: 'MIT' },
      'node_modules/a/node_modules/@s/b': { version: '2.0.0', optional: true },
    },
  }
  const a: ImagePackage = { kind: 'npm', name: 'a', version: '1.0.0' }
  const b: ImagePackage = { kind: 'npm', name: '@s/b', version: '2.0.0' }
  const c: ImagePackage = { kind: 'deb', name: 'libc6', version: '2.36-9+deb12u14', architecture: 'arm64' }

  it('is the same for the same packages, those of the base among them', () => {
    const text = softwareBill([a, b, c], lock)
    expect(softwareBill([a, b, c], lock)).toBe(text)
    expect(softwareBill([a, c], lock)).not.toBe(text)
    expect(text).toContain('"purl": "pkg:npm/%40s/b@2.0.0"')
    expect(text).toContain('"purl": "pkg:deb/debian/libc6@2.36-9%2Bdeb12u14?arch=arm64"')
  })

  it('is refused when image and lock have other packages', () => {
    expect(() => softwareBill([b, c], lock)).toThrow('in the lock and not in the image: pkg:npm/a@1.0.0')
    const other = { ...a, version: '1.0.1' }
    expect(() => softwareBill([a, other], lock)).toThrow('in the image and not in the lock: pkg:npm/a@1.0.1')
    expect(softwareBill([a, { ...other, isOfBase: true }], lock)).toContain('pkg:npm/a@1.0.1')
  })
})

describe('an archive in the OCI layout', () => {
  const write = async (name: string) => {
    const layers = ['base', 'app'].map((at) => ({
      folder: path.join(folder, name, at),
      at: at === 'app' ? at : '.',
    }))
    for (const { folder: layer } of layers) {
      mkdirSync(path.join(layer, 'sub'), { recursive: true })
      writeFileSync(path.join(layer, 'sub/file'), 'text')
    }
    const archive = path.join(folder, `${name}.tar`)
    const workFolder = path.join(folder, `${name}-layout`)
    const images = [
      { architecture: 'amd64', layers },
      { architecture: 'arm64', layers: layers.slice(1) },
    ]
    const options = { config: { User: '65532' }, name: 'localhost/test:1' }
    return { archive, digests: await writeOciArchive({ ...options, images, workFolder, archive }) }
  }

  it('is the same for the same files, whenever they were written', async () => {
    const [first, second] = [await write('first'), await write('second')]
    expect(second.digests).toEqual(first.digests)
    expect(readFileSync(second.archive).equals(readFileSync(first.archive))).toBe(true)
  })

  it('names its parts by their digests, and has the layers where they belong', async () => {
    const { archive, digests } = await write('third')
    const unpacked = path.join(folder, 'unpacked')
    mkdirSync(unpacked)
    await runProgram('tar', ['-xf', archive, '-C', unpacked])
    const blob = (name: string) => readFileSync(path.join(unpacked, 'blobs', name.replace(':', '/')))
    const json = (name: string) => JSON.parse(blob(name).toString()) as Record<string, never>
    interface Manifest {
      config: { digest: string }
      layers: Array<{ digest: string; size: number }>
    }
    const [manifest, other] = digests.map((digest) => json(digest) as unknown as Manifest)
    if (manifest === undefined || other === undefined) throw new Error('an image is missing')
    expect(other.layers).toEqual(manifest.layers.slice(1))
    expect(json(other.config.digest)).toMatchObject({ architecture: 'arm64' })
    for (const { digest: name, size } of [...manifest.layers]) {
      expect(blob(name)).toHaveLength(size)
      expect(`sha256:${createHash('sha256').update(blob(name)).digest('hex')}`).toBe(name)
    }
    expect(json(manifest.config.digest)).toMatchObject({
      architecture: 'amd64',
      rootfs: { diff_ids: manifest.layers.map((layer) => layer.digest) },
    })
    const names = await Promise.all(
      manifest.layers.map(async ({ digest: name }) => {
        const { stdout } = await runProgram('tar', ['-t'], { input: blob(name) })
        return stdout
          .toString()
          .split('\n')
          .filter((line) => line.endsWith('file'))
      }),
    )
    expect(names).toEqual([['./sub/file'], ['app/sub/file']])
  })
})
