/**
 * `make image`: the image of operator, brokers and routes as an OCI archive, with its SBOM, in `.cache/image`. By docker
 * or podman and the Dockerfile where one works; else by `tar`, on a base of Debian packages.
 *
 * IMAGE: its name, `localhost/hublet:VERSION` when left out. BASE_IMAGE, NODE_IMAGE: for the Dockerfile.
 * IMAGE_BUILDER: docker, podman or tar, in place of the first that works.
 */
import { execFile, spawn } from 'node:child_process'
import { mkdir, readFile, realpath, rm, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { promisify } from 'node:util'
import { gatherApp, softwareBill } from './app-files.ts'
import { makeDebianBase } from './debian-base.ts'
import { writeOciArchive } from './oci-archive.ts'

const ROOT = path.resolve(import.meta.dirname, '../..')
const OUTPUT = path.join(ROOT, '.cache/image')
const ARCHIVE = path.join(OUTPUT, 'hublet.oci.tar')

const BUILDERS = ['docker', 'podman', 'tar'] as const
type Builder = (typeof BUILDERS)[number]

/** What the Dockerfile says. */
const CONFIG = {
  User: '65532:65532',
  Env: [
    'PATH=/nodejs/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
    'NODE_ENV=production',
  ],
  WorkingDir: '/app',
  Cmd: ['node', 'operator/main.ts'],
}

/** The engine has to answer: a docker without its daemon builds nothing. */
async function works(engine: string): Promise<boolean> {
  try {
    await promisify(execFile)(engine, ['info'], { timeout: 15_000 })
    return true
  } catch {
    return false
  }
}

async function chooseBuilder(): Promise<Builder> {
  const asked = process.env['IMAGE_BUILDER']
  if (asked !== undefined && asked !== '') {
    const found = BUILDERS.find((one) => one === asked)
    if (found === undefined) throw new Error(`IMAGE_BUILDER: expected ${BUILDERS.join(', ')}, got ${asked}`)
    return found
  }
  for (const engine of ['docker', 'podman'] as const) if (await works(engine)) return engine
  return 'tar'
}

function show(command: string, args: readonly string[]): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { cwd: ROOT, stdio: 'inherit' })
    child.once('error', reject)
    child.once('exit', (code) =>
      code === 0 ? resolve() : reject(new Error(`${command} ${args[0]} ended with code ${code}`)),
    )
  })
}

async function buildByEngine(engine: 'docker' | 'podman', name: string): Promise<void> {
  const bases = ['BASE_IMAGE', 'NODE_IMAGE'].flatMap((key) =>
    process.env[key] ? ['--build-arg', `${key}=${process.env[key]}`] : [],
  )
  if (engine === 'docker') {
    const output = `type=oci,dest=${ARCHIVE},rewrite-timestamp=true`
    await show('docker', ['buildx', 'build', ...bases, '--tag', name, '--output', output, '.'])
    return
  }
  await show('podman', ['build', ...bases, '--timestamp', '0', '--tag', name, '.'])
  await rm(ARCHIVE, { force: true })
  await show('podman', ['save', '--format', 'oci-archive', '--output', ARCHIVE, name])
}

async function buildByTar(name: string): Promise<void> {
  const base = path.join(OUTPUT, 'base')
  const app = path.join(OUTPUT, 'app')
  await makeDebianBase(base, await realpath(process.execPath))
  await gatherApp(app)
  const digest = await writeOciArchive({
    layers: [
      { folder: base, at: '.' },
      { folder: app, at: 'app' },
    ],
    config: CONFIG,
    architecture: process.arch === 'x64' ? 'amd64' : process.arch,
    name,
    workFolder: path.join(OUTPUT, 'layout'),
    archive: ARCHIVE,
  })
  for (const folder of [base, app]) await rm(folder, { recursive: true })
  process.stdout.write(`${digest}\n`)
}

const { version } = JSON.parse(await readFile(path.join(ROOT, 'package.json'), 'utf8')) as { version: string }
const name = process.env['IMAGE'] || `localhost/hublet:${version}`
await mkdir(OUTPUT, { recursive: true })
const builder = await chooseBuilder()
process.stdout.write(`building ${name} by ${builder}\n`)
if (builder === 'tar') await buildByTar(name)
else await buildByEngine(builder, name)
await writeFile(path.join(OUTPUT, 'hublet.cdx.json'), await softwareBill())
process.stdout.write('.cache/image/hublet.oci.tar\n.cache/image/hublet.cdx.json\n')
