import { createHash } from 'node:crypto'
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { runProgram } from '../../test-support/run-program.ts'
import { makeTempDir, removeTempDir } from '../../test-support/temp-dir.ts'
import { gatherApp, softwareBill } from './app-files.ts'
import { writeOciArchive } from './oci-archive.ts'

let folder: string
beforeAll(() => {
  folder = makeTempDir('image')
})
afterAll(() => removeTempDir(folder))

describe('the files of the image', () => {
  it('start operator and broker with packages of production only', async () => {
    const app = path.join(folder, 'app')
    await gatherApp(app)
    for (const program of ['operator/main.ts', 'broker/main.ts']) {
      const { code, stdout, stderr } = await runProgram(process.execPath, [program, '--help'], { cwd: app })
      expect({ code, stderr }).toMatchObject({ code: 0 })
      expect(stdout.toString()).toContain(`Usage: node ${program}`)
    }
    const { devDependencies } = JSON.parse(readFileSync(path.join(app, 'package.json'), 'utf8')) as {
      devDependencies: object
    }
    const installed = readdirSync(path.join(app, 'node_modules'))
    for (const name of ['vitest', 'typescript', 'node']) {
      expect(Object.keys(devDependencies)).toContain(name)
      expect(installed).not.toContain(name)
    }
  }, 300_000)

  it('have a bill that names packages of production only', async () => {
    const bill = JSON.parse(await softwareBill()) as {
      bomFormat: string
      components: Array<{ name: string }>
    }
    const names = bill.components.map(({ name }) => name)
    expect(bill.bomFormat).toBe('CycloneDX')
    expect(names).toContain('ioredis')
    expect(names).not.toContain('vitest')
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
    const options = { config: { User: '65532' }, architecture: 'amd64', name: 'localhost/test:1' }
    return { archive, digest: await writeOciArchive({ ...options, layers, workFolder, archive }) }
  }

  it('is the same for the same files, whenever they were written', async () => {
    const [first, second] = [await write('first'), await write('second')]
    expect(second.digest).toBe(first.digest)
    expect(readFileSync(second.archive).equals(readFileSync(first.archive))).toBe(true)
  })

  it('names its parts by their digests, and has the layers where they belong', async () => {
    const { archive, digest } = await write('third')
    const unpacked = path.join(folder, 'unpacked')
    mkdirSync(unpacked)
    await runProgram('tar', ['-xf', archive, '-C', unpacked])
    const blob = (name: string) => readFileSync(path.join(unpacked, 'blobs', name.replace(':', '/')))
    const json = (name: string) => JSON.parse(blob(name).toString()) as Record<string, never>
    const manifest = json(digest) as unknown as {
      config: { digest: string }
      layers: Array<{ digest: string; size: number }>
    }
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
