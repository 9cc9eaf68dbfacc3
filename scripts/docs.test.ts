import { posix } from 'node:path'
import { describe, expect, it } from 'vitest'
import { buildManifestSet } from '../cli/manifests/manifest-set.ts'
import { parseManifests } from '../cli/manifests/parse-manifests.ts'
import { formatProblem } from '../cli/manifests/problem.ts'
import type { Hub } from '../crds/hub.ts'
import { API_VERSION } from '../crds/meta.ts'
import { validate } from '../crds/validate.ts'
import { readTracked, trackedFiles } from './source-graph.ts'

const files = trackedFiles()
const pages = files.filter((path) => path.endsWith('.md')).map((path) => ({ path, text: readTracked(path) }))

const BLOCK = /^(?:<!-- (?<source>[\w./-]+\.yaml) -->\n)?```yaml\n(?<body>.*?)^```$/gms
const blocks = pages.flatMap(({ path, text }) =>
  [...text.matchAll(BLOCK)].map(({ index, groups }) => ({
    place: `${path}:${text.slice(0, index).split('\n').length}`,
    body: groups?.['body'] ?? '',
    source: groups?.['source'],
  })),
)

/** In a fresh clone, whatever else lies about here. */
const isThere = (path: string) =>
  files.some((file) => file === path || file.startsWith(path.endsWith('/') ? path : `${path}/`))

const codeOf = (text: string) =>
  [...text.matchAll(/^```.*?^```$|`[^`\n]*`/gms)].map(([code]) => code).join('\n')

/** As the page is read: code holds no links. */
const withoutCode = (text: string) => text.replace(/^```.*?^```$/gms, '').replace(/`[^`\n]*`/g, '')

/** The anchors that GitHub gives to the headings of a page. */
const anchorsOf = (text: string) =>
  [...text.replace(/^```.*?^```$/gms, '').matchAll(/^#+ (.+)$/gm)].map(([, heading = '']) =>
    heading
      .toLowerCase()
      .replace(/[^\p{L}\p{N} _-]/gu, '')
      .replaceAll(' ', '-'),
  )

function brokenLinks({ path, text }: (typeof pages)[number]): string[] {
  const targets = [...withoutCode(text).matchAll(/\]\(([^)\s]+)\)/g)].map(([, target = '']) => target)
  return targets
    .filter((target) => !/^[a-z]+:/.test(target))
    .filter((target) => {
      const [file = '', anchor] = target.split('#')
      const to = file === '' ? path : posix.join(posix.dirname(path), file)
      if (!isThere(to)) return true
      return anchor !== undefined && !anchorsOf(readTracked(to)).includes(anchor)
    })
    .map((target) => `${path} links to ${target}`)
}

describe('the pages of this repository', () => {
  it('link to files and headings that are there', () => {
    expect(pages.map(({ path }) => path)).toContain('README.md')
    expect(pages.flatMap(brokenLinks)).toEqual([])
  })

  it('name folders, files and make targets that are there', () => {
    const targets = new Set([...readTracked('Makefile').matchAll(/^([a-z0-9-]+):/gm)].map(([, name]) => name))
    const top = new Set(files.filter((path) => path.includes('/')).map((path) => path.split('/', 1)[0]))
    const missing = pages.flatMap(({ path, text }) => [
      ...[...codeOf(text).matchAll(/(?:`|^|&& )make ([a-z0-9-]+)/gm)]
        .filter(([, name]) => !targets.has(name))
        .map(([, name]) => `${path}: make ${name}`),
      ...[...text.matchAll(/`([\w.-]+\/[\w./-]*)`/g)]
        .filter(([, named = '']) => top.has(named.split('/', 1)[0]) && !isThere(named))
        .map(([, named]) => `${path}: ${named}`),
    ])
    expect(missing).toEqual([])
  })
})

describe('the bounds of a hub on the page about the architecture', () => {
  it('have the defaults that the schema gives them', () => {
    const bare = { apiVersion: API_VERSION, kind: 'Hub', metadata: { name: 'bare' }, spec: {} }
    const hub = validate(bare)
    if (!hub.valid) throw new Error('a bare hub should be valid')
    const { queue, ...limits } = (hub.value as Hub).spec.limits
    const named = (prefix: string, all: object) =>
      Object.entries(all).map(([name, value]) => [`${prefix}${name}`, String(value)])
    const rows = [...readTracked('docs/architecture.md').matchAll(/^\| `([\w.]+)`\s*\| `(\w+)`/gm)].map(
      ([, name, value]) => [name, value],
    )
    expect(Object.fromEntries(rows)).toEqual(
      Object.fromEntries([...named('', limits), ...named('queue.', queue)]),
    )
  })
})

describe('the manifests on them', () => {
  const ours = blocks.filter(({ body }) => /^apiVersion: iot\.hublet\.dev\//m.test(body))

  it.each(ours)('at $place can be applied', ({ place, body }) => {
    const { manifests, problems } = parseManifests(place, body)
    expect([...problems, ...buildManifestSet(manifests).problems].map(formatProblem)).toEqual([])
    expect(manifests).not.toEqual([])
  })

  it.each(blocks.filter(({ source }) => source))('at $place stands so in $source', ({ body, source }) => {
    expect(readTracked(source ?? '')).toContain(body)
  })
})
