import { readdir, readFile } from 'node:fs/promises'
import path from 'node:path'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { parseAllDocuments } from 'yaml'
import { INVALID_OBJECTS } from '../../crds/invalid-objects.fixture.ts'
import { KINDS } from '../../crds/kinds.ts'
import { API_VERSION, GROUP } from '../../crds/meta.ts'
import { validate } from '../../crds/validate.ts'
import { formatFieldError } from '../../crds/validation/field-error.ts'
import { ApiError } from '../../operator/runtime/api-error.ts'
import type { KubeObject, Resource } from '../../operator/runtime/resource.ts'
import { resourcePath } from '../../operator/runtime/resource.ts'
import { TestNamespace } from '../../test-support/cluster.ts'

const ROOT = path.resolve(import.meta.dirname, '../..')
const CRDS = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions'

interface Crd extends KubeObject {
  status?: { conditions?: Array<{ type: string; status: string; message: string }> }
}

let space: TestNamespace

const readYaml = async (file: string): Promise<unknown[]> =>
  parseAllDocuments(await readFile(file, 'utf8')).map((document) => document.toJS() as unknown)

async function manifestFiles(): Promise<string[]> {
  const folder = path.join(ROOT, 'crds/manifests')
  const names = (await readdir(folder)).filter((name) => name.endsWith('.yaml'))
  return names.map((name) => path.join(folder, name))
}

beforeAll(async () => {
  space = await TestNamespace.create('crds')
  for (const file of await manifestFiles()) {
    const [crd] = (await readYaml(file)) as Crd[]
    await space.client.request({
      method: 'PATCH',
      path: `${CRDS}/${crd!.metadata.name}`,
      query: { fieldManager: 'test', force: true },
      contentType: 'application/apply-patch+yaml',
      body: crd,
    })
  }
  await vi.waitFor(
    async () => {
      for (const kind of KINDS) {
        await space.client.request({ method: 'GET', path: resourcePath(resourceOf(kind.kind)) })
      }
    },
    { timeout: 60_000, interval: 100 },
  )
})

afterAll(() => space.remove())

function resourceOf(kind: string): Resource {
  if (kind === 'Secret') return { apiVersion: 'v1', kind, plural: 'secrets', namespaced: true }
  if (kind === 'ConfigMap') return { apiVersion: 'v1', kind, plural: 'configmaps', namespaced: true }
  const found = KINDS.find((one) => one.kind === kind)
  if (!found) throw new Error(`no resource of kind ${kind}`)
  return { apiVersion: API_VERSION, kind, plural: found.plural, namespaced: true }
}

type Verdict = { accepted: true; object: KubeObject } | { accepted: false; status: number; text: string }

/** What the API server says to the manifest, stored for good only when `keep` is set. */
async function ask(manifest: unknown, { keep = false } = {}): Promise<Verdict> {
  const { kind } = manifest as { kind: string }
  return verdict(() =>
    space.client.request<KubeObject>({
      method: 'POST',
      path: resourcePath(resourceOf(kind), space.name),
      query: { fieldValidation: 'Strict', dryRun: keep ? undefined : 'All' },
      body: manifest,
    }),
  )
}

/** The same for a manifest that replaces what is stored. */
async function askToReplace(stored: KubeObject, manifest: unknown): Promise<Verdict> {
  const { kind, metadata } = manifest as { kind: string; metadata: object }
  const { name = '', resourceVersion } = stored.metadata
  return verdict(() =>
    space.client.request<KubeObject>({
      method: 'PUT',
      path: resourcePath(resourceOf(kind), space.name, name),
      query: { fieldValidation: 'Strict', dryRun: 'All' },
      body: { ...(manifest as object), metadata: { ...metadata, resourceVersion } },
    }),
  )
}

async function verdict(request: () => Promise<{ body: KubeObject }>): Promise<Verdict> {
  try {
    return { accepted: true, object: (await request()).body }
  } catch (error) {
    if (!(error instanceof ApiError) || error.status >= 500) throw error
    const causes = error.causes.map(({ field, message }) => `${field}: ${message}`)
    return { accepted: false, status: error.status, text: [error.message, ...causes].join('\n') }
  }
}

describe('the CRDs', () => {
  it('are accepted: names free, schemas structural, rules within their cost', async () => {
    for (const kind of KINDS) {
      const { body } = await space.client.request<Crd>({
        method: 'GET',
        path: `${CRDS}/${kind.plural}.${GROUP}`,
      })
      const conditions = Object.fromEntries(
        (body.status?.conditions ?? []).map(({ type, status }) => [type, status]),
      )
      expect(conditions, kind.kind).toMatchObject({ Established: 'True', NamesAccepted: 'True' })
      expect(conditions['NonStructuralSchema'] ?? 'False', kind.kind).toBe('False')
    }
  })

  it('are found by their short names and the category iot', async () => {
    const { body } = await space.client.request<{
      resources: Array<{ name: string; kind: string; shortNames?: string[]; categories?: string[] }>
    }>({ method: 'GET', path: `/apis/${API_VERSION}` })
    for (const kind of KINDS) {
      expect(body.resources).toContainEqual(
        expect.objectContaining({
          name: kind.plural,
          kind: kind.kind,
          categories: ['iot'],
          shortNames: [...kind.shortNames],
        }),
      )
    }
    const short = body.resources.flatMap(({ shortNames }) => shortNames ?? [])
    expect(new Set(short).size).toBe(short.length)
  })

  it('have a text for every field, as kubectl explain shows it', async () => {
    interface Schema {
      description?: string
      properties?: Record<string, Schema>
      items?: Schema
      additionalProperties?: Schema | boolean
    }
    // Published some moments after the kinds are served.
    const { body } = await vi.waitFor(
      async () => {
        const found = await space.client.request<{ components: { schemas: Record<string, Schema> } }>({
          method: 'GET',
          path: `/openapi/v3/apis/${API_VERSION}`,
        })
        const names = Object.keys(found.body.components.schemas)
        for (const { kind } of KINDS) expect(names).toContainEqual(expect.stringMatching(`\\.${kind}$`))
        return found
      },
      { timeout: 60_000, interval: 200 },
    )
    const bare: string[] = []
    let fields = 0
    const walk = (schema: Schema, at: string): void => {
      for (const [name, inner] of Object.entries(schema.properties ?? {})) {
        // The fields that all of Kubernetes shares are described by Kubernetes.
        if (at.split('.').length === 1 && ['apiVersion', 'kind', 'metadata'].includes(name)) continue
        fields += 1
        if (!inner.description?.trim()) bare.push(`${at}.${name}`)
        walk(inner, `${at}.${name}`)
      }
      if (schema.items) walk(schema.items, `${at}[]`)
      if (typeof schema.additionalProperties === 'object') walk(schema.additionalProperties, `${at}{}`)
    }
    for (const { kind } of KINDS) {
      const [, schema] =
        Object.entries(body.components.schemas).find(([name]) => name.endsWith(`.${kind}`)) ?? []
      expect(schema?.description, kind).toBeTruthy()
      walk(schema!, kind)
    }
    expect(bare).toEqual([])
    expect(fields).toBeGreaterThan(100)
  })

  it('show in kubectl get whether it is fine, and why not', async () => {
    for (const { kind, columns } of KINDS) {
      const { body } = await space.client.request<{ columnDefinitions: Array<{ name: string }> }>({
        method: 'GET',
        path: resourcePath(resourceOf(kind), space.name),
        accept: 'application/json;as=Table;g=meta.k8s.io;v=v1',
      })
      const names = body.columnDefinitions.map(({ name }) => name)
      expect(names, kind).toEqual(['Name', ...columns.map(({ name }) => name)])
      expect(names, kind).toEqual(expect.arrayContaining(['Ready', 'Reason', 'Age']))
    }
  })
})

it('an object that no operator has seen is not taken for ready', async () => {
  const manifest = { apiVersion: API_VERSION, kind: 'Hub', metadata: { name: 'unseen' }, spec: {} }
  const stored = await ask(manifest, { keep: true })
  if (!stored.accepted) throw new Error(stored.text)
  const { status } = await space.get<KubeObject & { status?: unknown }>(resourceOf('Hub'), 'unseen')
  expect(status).toEqual({
    conditions: [expect.objectContaining({ type: 'Ready', status: 'Unknown', reason: 'Pending' })],
  })
})

describe('an invalid object is refused by the API server and by validate alike', () => {
  it.each(INVALID_OBJECTS)('$title', async ({ manifest, oldManifest, field, message }) => {
    const ours = validate(manifest, { oldManifest })
    expect(ours.valid).toBe(false)
    let theirs: Verdict
    if (oldManifest === undefined) {
      theirs = await ask(manifest)
    } else {
      const stored = await ask(oldManifest, { keep: true })
      if (!stored.accepted) throw new Error(stored.text)
      theirs = await askToReplace(stored.object, manifest)
      const { kind } = oldManifest as { kind: string }
      await space.delete(resourceOf(kind), stored.object.metadata.name!)
    }
    if (theirs.accepted) throw new Error('the API server accepted it')
    expect(theirs.text).toContain(field)
    expect(theirs.text).toContain(message)
  })
})

/** Every manifest that a reader may copy: the example folders, and YAML blocks of the docs and the README. */
async function publishedManifests(): Promise<Array<[string, KubeObject]>> {
  const found: Array<[string, KubeObject]> = []
  const add = (where: string, documents: unknown[]) => {
    for (const document of documents) {
      const object = document as KubeObject | null
      if (object?.apiVersion && object.kind && isOurs(object)) {
        found.push([`${where}: ${object.kind} ${object.metadata.name}`, object])
      }
    }
  }
  for (const file of await filesBelow(path.join(ROOT, 'examples'), /\.ya?ml$/)) {
    add(path.relative(ROOT, file), await readYaml(file))
  }
  const pages = [...(await filesBelow(path.join(ROOT, 'docs'), /\.md$/)), path.join(ROOT, 'README.md')]
  for (const page of pages) {
    const text = await readFile(page, 'utf8').catch(() => '')
    for (const [, block = ''] of text.matchAll(/^```ya?ml\n(.*?)^```/gms)) {
      add(
        path.relative(ROOT, page),
        parseAllDocuments(block).map((document) => document.toJS() as unknown),
      )
    }
  }
  return found
}

const isOurs = ({ apiVersion, kind = '' }: KubeObject): boolean =>
  apiVersion === API_VERSION || (apiVersion === 'v1' && ['Secret', 'ConfigMap'].includes(kind))

async function filesBelow(folder: string, pattern: RegExp): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true }).catch(() => [])
  return entries
    .filter((entry) => entry.isFile() && pattern.test(entry.name))
    .map((entry) => path.join(entry.parentPath, entry.name))
}

const PUBLISHED = await publishedManifests()

describe('a manifest of the docs and examples is accepted, with the defaults that validate gives it', () => {
  it('and there are some', () => {
    expect(PUBLISHED.length).toBeGreaterThan(5)
  })

  it.each(PUBLISHED)('%s', async (_, manifest) => {
    const theirs = await ask(manifest)
    if (!theirs.accepted) throw new Error(theirs.text)
    const ours = validate(manifest)
    if (!ours.valid) throw new Error(ours.errors.map(formatFieldError).join('\n'))
    if (manifest.apiVersion !== API_VERSION) return
    expect((theirs.object as { spec?: unknown }).spec).toEqual((ours.value as { spec?: unknown }).spec)
  })
})

describe('an object that was changed at random', () => {
  type Json = null | boolean | number | string | Json[] | { [key: string]: Json }

  /** Places in the object, as lists of keys. */
  function places(value: Json, at: Array<string | number> = []): Array<Array<string | number>> {
    const inner =
      typeof value === 'object' && value !== null
        ? Object.entries(value).flatMap(([key, child]) =>
            places(child, [...at, Array.isArray(value) ? Number(key) : key]),
          )
        : []
    return [at, ...inner]
  }

  const REPLACEMENTS: readonly Json[] = [
    null,
    true,
    0,
    -1,
    1,
    65_536,
    1.5,
    2 ** 40,
    '',
    'x',
    'X y',
    'a/b',
    'a/#',
    '#/a',
    '$hub/x',
    '{{ device.id }}',
    '{{ nothing }}',
    '5m',
    '-5m',
    '1Mi',
    'http://h/p',
    'x'.repeat(300),
    [],
    ['a', 'a'],
    {},
    { name: 'x' },
    { name: '' },
  ]

  function mutate(object: Json, pick: (bound: number) => number): Json {
    const copy = structuredClone(object)
    const spots = places(copy).filter(([root]) => root === 'spec')
    if (spots.length === 0) return copy
    const spot = spots[pick(spots.length)]!
    let parent = copy as Record<string | number, Json>
    for (const key of spot.slice(0, -1)) parent = parent[key] as Record<string | number, Json>
    const key = spot.at(-1)!
    const value = structuredClone(REPLACEMENTS[pick(REPLACEMENTS.length)] as Json)
    const action = pick(4)
    const old = parent[key]
    if (action === 0 && !Array.isArray(parent)) delete parent[key]
    else if (action === 1 && Array.isArray(old)) old.push(value)
    else if (action === 1 && typeof old === 'object' && old !== null)
      (old as Record<string, Json>)['extra'] = value
    else parent[key] = value
    return copy
  }

  it('gets the same verdict of validate as of the API server', async () => {
    // With every default in place there are more fields to change.
    const seeds = PUBLISHED.filter(([, { apiVersion }]) => apiVersion === API_VERSION).flatMap(
      ([, manifest]) => {
        const filled = validate(manifest)
        return filled.valid ? [manifest, filled.value] : []
      },
    ) as unknown as Json[]
    const different: string[] = []
    let accepted = 0
    let refused = 0
    await fc.assert(
      fc.asyncProperty(
        fc.nat(seeds.length - 1),
        fc.array(fc.nat(1_000_000), { minLength: 9, maxLength: 9 }),
        async (seed, numbers) => {
          const rest = [...numbers]
          const pick = (bound: number) => (rest.shift() ?? 0) % bound
          let manifest: Json = seeds[seed] ?? null
          for (let n = 0; n <= numbers[8]! % 2; n += 1) manifest = mutate(manifest, pick)
          const ours = validate(manifest)
          const theirs = await ask(manifest)
          if (theirs.accepted) accepted += 1
          else refused += 1
          if (ours.valid === theirs.accepted) return
          const text = ours.valid ? 'accepted by validate' : ours.errors.map(formatFieldError).join('; ')
          const other = theirs.accepted ? 'accepted by the API server' : theirs.text
          different.push(`${JSON.stringify(manifest)}\n  ours: ${text}\n  theirs: ${other}`)
        },
      ),
      { numRuns: 3_000, seed: 20 },
    )
    expect(different).toEqual([])
    // Both verdicts must have been put to the test.
    expect(Math.min(accepted, refused)).toBeGreaterThan(100)
  })
})
