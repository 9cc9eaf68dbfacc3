import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Writable } from 'node:stream'
import { describe, expect, it } from 'vitest'
import { makeTempDir } from '../test-support/temp-dir.ts'
import { deviceYaml, hubYaml, yaml } from './dev/manifests.fixture.ts'
import { runProgram } from './program.ts'

async function run(...args: string[]) {
  const output = { stdout: '', stderr: '' }
  const into = (name: 'stdout' | 'stderr') =>
    new Writable({
      write(chunk, _, done) {
        output[name] += String(chunk)
        done()
      },
    })
  const code = await runProgram(args, {
    version: '1.2.3',
    stdout: into('stdout'),
    stderr: into('stderr'),
    env: {},
    startBroker: async () => {
      throw new Error('no broker is to be started here')
    },
    signal: AbortSignal.abort(),
  })
  return { code, ...output }
}

function folder(files: Record<string, string>): string {
  const root = makeTempDir('program')
  for (const [name, content] of Object.entries(files)) writeFileSync(join(root, name), content)
  return root
}

const dataIn = (root: string) => join(root, '.hublet')

describe('hublet', () => {
  it('tells its version', async () => {
    expect(await run('--version')).toMatchObject({ code: 0, stdout: '1.2.3\n' })
  })

  it('explains itself', async () => {
    const { code, stdout } = await run('dev', '--help')
    expect(code).toBe(0)
    for (const option of ['-f', '--bind', '--data', '--log-level']) expect(stdout).toContain(option)
  })

  it.each([
    ['an unknown command', ['serve']],
    ['an unknown option', ['dev', '-f', '.', '--port', '1']],
    ['dev without manifests', ['dev']],
    ['an unknown log level', ['dev', '-f', '.', '--log-level', 'loud']],
  ])('ends with 2 on %s, and says what is wrong', async (_, args) => {
    const { code, stderr } = await run(...args)
    expect(code).toBe(2)
    expect(stderr).toMatch(/error: /)
  })
})

describe('hublet validate', () => {
  it('counts what is valid', async () => {
    const root = folder({ 'a.yaml': `${hubYaml()}---\n${deviceYaml('lamp')}` })
    expect(await run('validate', '-f', root)).toEqual({
      code: 0,
      stdout: '2 objects are valid: 1 Hub, 1 Device, 0 Network, 0 Route\n',
      stderr: '',
    })
  })

  it('takes several paths together', async () => {
    const [one, two] = [folder({ 'a.yaml': hubYaml() }), folder({ 'b.yaml': deviceYaml('lamp') })]
    expect((await run('validate', '-f', one, '-f', two)).stdout).toMatch(/^2 objects/)
  })

  it('ends with 1 on a problem, with file, line and field', async () => {
    const root = folder({ 'a.yaml': hubYaml('{ enabled: maybe }') })
    const { code, stderr } = await run('validate', '-f', root)
    expect(code).toBe(1)
    expect(stderr).toMatch(/a\.yaml:4: spec\.enabled: .*, got "maybe"\n1 problem found\n$/)
  })

  it('notes a reference that nothing in the folder answers', async () => {
    const { code, stderr } = await run('validate', '-f', folder({ 'a.yaml': deviceYaml('lamp') }))
    expect(code).toBe(0)
    expect(stderr).toMatch(/^note: .*spec\.hubRef names Hub garden, which is not in the folder\n$/)
  })
})

describe('hublet dev that cannot start', () => {
  it.each([
    [
      'bad manifests',
      { 'a.yaml': hubYaml('{ enabled: maybe }') },
      /a\.yaml:4: spec\.enabled: .*\n.*not valid/,
    ],
    ['no hub', { 'a.yaml': deviceYaml('lamp') }, /expected at least one Hub, got none/],
    ['a broker that fails', { 'a.yaml': hubYaml() }, /hub garden could not be started: no broker is to be/],
  ])('ends with 1 because of %s', async (_, files, expected) => {
    const root = folder(files)
    const { code, stderr } = await run('dev', '-f', root, '--data', dataIn(root))
    expect([code, stderr]).toEqual([1, expect.stringMatching(expected)])
  })

  it('refuses an address that is none before it writes anything', async () => {
    const root = folder({ 'a.yaml': hubYaml() })
    const { code, stderr } = await run('dev', '-f', root, '--data', dataIn(root), '--bind', 'my-laptop')
    expect([code, stderr]).toEqual([1, expect.stringContaining('--bind: expected an IP address')])
    expect(existsSync(dataIn(root))).toBe(false)
  })

  it('refuses a data folder that holds other things', async () => {
    const root = folder({ 'a.yaml': hubYaml() })
    mkdirSync(join(root, 'src'))
    writeFileSync(join(root, 'src', 'main.c'), '')
    const { code, stderr } = await run('dev', '-f', root, '--data', join(root, 'src'))
    expect([code, stderr]).toEqual([1, expect.stringContaining('expected an empty folder or one of hublet')])
  })
})

describe('hublet can-i', () => {
  const filters = (rule: string) => `messageFilters: { publish: ${rule} }`
  const manifests = () =>
    folder({
      'hub.yaml': hubYaml(),
      'lamp.yaml': deviceYaml('lamp', filters("{ policy: Accept, topics: ['lamps/{{device.name}}/#'] }")),
      'fan.yaml': deviceYaml('fan', 'allowInsecure: true'),
    })

  it.each([
    [['lamp', 'publish', 'lamps/lamp/on'], 0, 'yes: the publish filter accepts lamps/lamp/#\n'],
    [
      ['lamp', 'publish', 'lamps/fan/on'],
      1,
      'no: the publish filter accepts only lamps/lamp/# (UNAUTHORIZED_TOPIC)\n',
    ],
    [['lamp', 'subscribe', '#'], 0, 'yes: the subscribe filter rejects nothing\n'],
    [['fan', 'publish', 'a/+'], 1, undefined],
  ])('%j answers by the exit code and names the rule', async (args, code, stdout) => {
    const told = await run('can-i', ...args, '-f', manifests())
    expect(told).toMatchObject({ code, stderr: '', ...(stdout === undefined ? {} : { stdout }) })
  })

  it('lists the ways to connect', async () => {
    const { code, stdout } = await run('can-i', 'lamp', 'connect', '-f', manifests())
    expect(code).toBe(0)
    expect(stdout).toMatch(/^mqtts {2}with its certificate {2}yes: /m)
    expect(stdout).toMatch(/^mqtt {3}by its id {13}no: .*\(MTLS_REQUIRED\)$/m)
    expect((await run('can-i', 'fan', 'connect', '-f', manifests())).stdout).toMatch(
      /^ws {5}by its id {13}yes: /m,
    )
  })

  it('says what is missing', async () => {
    const path = manifests()
    expect((await run('can-i', 'nobody', 'connect', '-f', path)).stderr).toContain('got "nobody"')
    expect((await run('can-i', 'lamp', 'publish', '-f', path)).stderr).toContain('expected a topic')
    expect((await run('can-i', 'lamp', 'fly', '-f', path)).code).toBe(2)
  })

  it('asks for the hub where two have a device of the name', async () => {
    const of = (hub: string, name: string, fields = '') =>
      yaml('Device', name, `{ hubRef: { name: ${hub} }${fields} }`)
    const path = folder({
      'a.yaml': `${hubYaml('{}', 'one')}---\n${hubYaml('{}', 'two')}`,
      'b.yaml': `${of('one', 'lamp')}---\n${of('two', 'lamp2', ', name: lamp')}`,
    })
    expect((await run('can-i', 'lamp', 'connect', '-f', path)).stderr).toContain('--hub')
    expect((await run('can-i', 'lamp', 'connect', '-f', path, '--hub', 'two')).code).toBe(0)
  })
})
