import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { makeTempDir } from '../../test-support/temp-dir.ts'
import { type LoadedFolder, loadManifests, shownPath } from './load-manifests.ts'
import type { ManifestSet } from './manifest-set.ts'
import { formatProblem } from './problem.ts'
import { crossNamespaceProblems, danglingReferences } from './references.ts'
import { secretsOf } from './secret-values.ts'

const iot = (kind: string, name: string, spec: string, namespace = '') =>
  `apiVersion: iot.hublet.dev/v1alpha1\nkind: ${kind}\nmetadata:\n  name: ${name}\n` +
  `${namespace === '' ? '' : `  namespace: ${namespace}\n`}spec: ${spec}\n`
const hub = (name = 'garden', namespace = '') => iot('Hub', name, '{}', namespace)
const device = (name: string, spec = '', namespace = '') =>
  iot('Device', name, `{ hubRef: { name: garden }${spec} }`, namespace)

function folder(files: Record<string, string | Buffer>): string {
  const root = makeTempDir('manifests')
  for (const [name, content] of Object.entries(files)) {
    mkdirSync(dirname(join(root, name)), { recursive: true })
    writeFileSync(join(root, name), content)
  }
  return root
}

const load = async (files: Record<string, string | Buffer>, previous?: ManifestSet) => {
  const root = folder(files)
  const result = await loadManifests({ paths: [root], ...(previous && { previous }) })
  return { root, result, texts: texts(result, root) }
}

const texts = (result: LoadedFolder, root: string) =>
  result.valid
    ? []
    : result.problems
        .map(formatProblem)
        .map((text) => text.replaceAll(`${shownPath(root)}/`, '').replaceAll(`${root}/`, ''))

const setOf = (result: LoadedFolder): ManifestSet => {
  if (!result.valid) throw new Error(result.problems.map(formatProblem).join('\n'))
  return result.set
}

describe('loadManifests', () => {
  it('finds YAML and JSON in all folders below', async () => {
    const { result } = await load({
      'hub.yaml': hub(),
      'devices/lamp.yml': device('lamp'),
      'devices/deep/pump.json': JSON.stringify({
        apiVersion: 'iot.hublet.dev/v1alpha1',
        kind: 'Device',
        metadata: { name: 'pump' },
        spec: { hubRef: { name: 'garden' } },
      }),
      'README.md': 'not a manifest',
    })
    expect([...setOf(result).keys()].sort()).toEqual([
      'Device/default/lamp',
      'Device/default/pump',
      'Hub/default/garden',
    ])
  })

  it('leaves out hidden folders, node_modules and the data folder', async () => {
    const root = folder({
      'hub.yaml': hub(),
      '.hidden/a.yaml': hub('hidden'),
      '.swap.yaml': hub('swap'),
      'node_modules/b.yaml': hub('module'),
      'data/c.yaml': hub('data'),
    })
    const result = await loadManifests({ paths: [root], dataFolder: join(root, 'data') })
    expect([...setOf(result).keys()]).toEqual(['Hub/default/garden'])
  })

  it('reads a file that is given by name, and once when it is given twice', async () => {
    const root = folder({ 'hub.manifest': hub() })
    const result = await loadManifests({ paths: [join(root, 'hub.manifest'), join(root, 'hub.manifest')] })
    expect(setOf(result).size).toBe(1)
  })

  it('goes round no circle of links', async () => {
    const root = folder({ 'a/hub.yaml': hub() })
    symlinkSync(root, join(root, 'a', 'up'))
    expect(setOf(await loadManifests({ paths: [root] })).size).toBe(1)
  })

  it('fills in the defaults and drops what only an API server can know', async () => {
    const text = hub().replace('  name: garden', '  name: garden\n  uid: 1234\n  resourceVersion: "5"')
    const { result } = await load({ 'hub.yaml': `${text.replace('uid: 1234', 'uid: "1234"')}` })
    const object = setOf(result).get('Hub/default/garden')?.object
    expect(object?.metadata).toEqual({ name: 'garden', namespace: 'default' })
    expect(object).toMatchObject({ spec: { listeners: { mqtts: { enabled: true, port: 8883 } } } })
  })

  it('says file, line, field, what is expected and what stands there', async () => {
    const { texts } = await load({
      'hub.yaml': hub(),
      'devices.yaml': `${device('lamp')}---\n${device('pump', ', enabled: maybe')}`,
    })
    expect(texts).toEqual([
      expect.stringMatching(/^devices\.yaml:11: spec\.enabled: .*boolean.*, got "maybe"$/),
    ])
  })

  it('refuses an unknown field, so that a typing error opens nothing', async () => {
    const { texts } = await load({ 'a.yaml': hub() + '---\n' + device('lamp', ', enabeld: false') })
    expect(texts).toEqual([expect.stringMatching(/^a\.yaml:11: spec\.enabeld: expected one of hubRef, /)])
  })

  it('gives no set at all when one of many files is bad', async () => {
    const { result, texts } = await load({
      'hub.yaml': hub(),
      'bad.yaml': 'kind: {\n',
      'worse.yaml': 'kind: Hug\n',
    })
    expect(result.valid).toBe(false)
    expect(texts).toHaveLength(2)
  })

  it('reports the same object in two files, with both places', async () => {
    const { texts, root } = await load({ 'a.yaml': hub(), 'b.yaml': `# again\n${hub('garden', 'default')}` })
    expect(texts).toEqual([
      'b.yaml:5: metadata.name: expected a name that no other Hub of the namespace has, got "garden", which a.yaml:1 has',
    ])
    expect(root).toBeTruthy()
  })

  it('takes the same name in two namespaces, and for two kinds', async () => {
    const { result } = await load({
      'a.yaml': hub(),
      'b.yaml': hub('garden', 'other'),
      'c.yaml': device('garden'),
    })
    expect(setOf(result).size).toBe(3)
  })

  it('refuses a reference that only another namespace could answer', async () => {
    const { result, root } = await load({ 'a.yaml': hub('garden', 'farm'), 'b.yaml': device('lamp') })
    const found = crossNamespaceProblems(setOf(result)).map(formatProblem)
    expect(found.map((text) => text.replace(`${shownPath(root)}/`, ''))).toEqual([
      'b.yaml:5: spec.hubRef.name: expected a Hub of namespace default, as references never cross a namespace, ' +
        'got "garden", which is in namespace farm',
    ])
  })

  it('tells a reference that nothing answers without refusing it', async () => {
    const { result } = await load({
      'a.yaml': hub(),
      'b.yaml': device('lamp', ', passwordSecretRef: { name: lamp-password }'),
    })
    expect(danglingReferences(setOf(result))).toEqual([
      expect.stringMatching(
        /b\.yaml:5: Device lamp: spec\.passwordSecretRef names Secret lamp-password, which is not in the folder$/,
      ),
    ])
  })

  it('refuses a change that an API server would refuse', async () => {
    const before = setOf((await load({ 'a.yaml': hub(), 'b.yaml': device('lamp') })).result)
    const { texts } = await load({ 'a.yaml': hub(), 'b.yaml': device('lamp', ', name: light') }, before)
    expect(texts).toEqual([expect.stringContaining('the name of a device cannot be changed')])
  })

  it.each([
    [
      'a file that is no text',
      { 'a.yaml': Buffer.from([0x61, 0xff, 0xfe]) },
      'a.yaml: expected a readable file of UTF-8 text, got other bytes',
    ],
    [
      'a file beyond 4 MiB',
      { 'a.yaml': Buffer.alloc(4 * 1024 * 1024 + 1, '#') },
      'a.yaml: expected a file of at most 4194304 bytes, got 4194305 bytes',
    ],
    [
      'more than 10,000 objects',
      { 'a.yaml': '---\nkind: A\n'.repeat(10_001) },
      'a.yaml: expected at most 10000 objects, got 10001',
    ],
  ])('refuses %s', async (_, files, expected) => {
    expect((await load(files)).texts).toEqual([expected])
  })

  it('says so when a given path does not exist', async () => {
    const result = await loadManifests({ paths: ['no-such-folder'] })
    expect(texts(result, '')).toEqual([
      'no-such-folder: expected a file or folder of manifests, got nothing there',
    ])
  })
})

describe('secretsOf', () => {
  const core = (kind: string, name: string, rest: string, namespace = 'default') =>
    `apiVersion: v1\nkind: ${kind}\nmetadata: { name: ${name}, namespace: ${namespace} }\n${rest}\n---\n`

  it('answers from stringData, data and ConfigMaps of its own namespace only', async () => {
    const { result } = await load({
      'a.yaml':
        core('Secret', 'both', 'data: { a: b2xk, b: Yg== }\nstringData: { a: new }') +
        core('ConfigMap', 'map', 'data: { c: c }\nbinaryData: { d: /w== }') +
        core('Secret', 'far', 'stringData: { e: e }', 'other'),
    })
    const look = secretsOf(setOf(result), 'default')
    expect(look('both', 'a')).toEqual(Buffer.from('new'))
    expect(look('both', 'b')).toEqual(Buffer.from('b'))
    expect(look('map', 'c')).toEqual(Buffer.from('c'))
    expect(look('map', 'd')).toEqual(Buffer.from([0xff]))
    expect(look('far', 'e')).toBeUndefined()
    expect(look('both', 'toString')).toBeUndefined()
    expect(look('nothing', 'a')).toBeUndefined()
  })

  it('never shows a value of a Secret in a problem', async () => {
    const { texts } = await load({
      'a.yaml': core('Secret', 'bad', 'data: { key: "hunter2!" }\nstringData: { other: [swordfish] }'),
    })
    expect(texts.length).toBeGreaterThan(0)
    expect(texts.join('\n')).not.toMatch(/hunter2|swordfish/)
  })
})

describe('shownPath', () => {
  it.each([
    ['below the working directory', '/a/b/c.yaml', 'b/c.yaml'],
    ['beside it', '/x.yaml', '/x.yaml'],
    ['the directory itself', '/a', '.'],
  ])('of a file %s', (_, path, expected) => {
    expect(shownPath(path, '/a')).toBe(expected)
  })
})
