import { describe, expect, it } from 'vitest'
import { parseFieldPath } from './field-location.ts'
import { parseManifests } from './parse-manifests.ts'
import { formatProblem } from './problem.ts'

const HUB = `# a comment
apiVersion: iot.hublet.dev/v1alpha1
kind: Hub
metadata:
  name: garden
  labels:
    app.kubernetes.io/name: garden
spec:
  listeners:
    mqtt: { enabled: yes, port: 1883 }
`

const parse = (text: string) => parseManifests('hub.yaml', text)
const only = (text: string) => {
  const { manifests, problems } = parse(text)
  expect(problems).toEqual([])
  expect(manifests).toHaveLength(1)
  return manifests[0] as (typeof manifests)[number]
}

describe('parseFieldPath', () => {
  it.each<[string, (string | number | undefined)[]]>([
    ['', []],
    ['kind', ['kind']],
    ['spec.messageFilters.publish.topics[0]', ['spec', 'messageFilters', 'publish', 'topics', 0]],
    ['metadata.labels["a.b/c"].x', ['metadata', 'labels', 'a.b/c', 'x']],
    ['data["with \\"quotes\\" and ] bracket"]', ['data', 'with "quotes" and ] bracket']],
    ['spec["aaa"… (99 characters)]', ['spec', undefined]],
  ])('reads %j', (path, segments) => {
    expect(parseFieldPath(path)).toEqual(segments)
  })
})

describe('parseManifests', () => {
  it('finds the line of every kind of field', () => {
    const manifest = only(HUB)
    const line = (field: string) => manifest.lineOf(field)
    expect(line('')).toBe(2)
    expect(line('kind')).toBe(3)
    expect(line('metadata.name')).toBe(5)
    expect(line('metadata.labels["app.kubernetes.io/name"]')).toBe(7)
    expect(line('spec.listeners.mqtt.port')).toBe(10)
  })

  it('shows a field that is missing where it would have to be added', () => {
    expect(only(HUB).lineOf('metadata.labels.other')).toBe(6)
    expect(only(HUB).lineOf('status')).toBe(2)
  })

  it('finds items of lists in block and in flow style', () => {
    const manifest = only('kind: x\nblock:\n  - a\n  - b:\n      c: 1\nflow: [1,\n  2]\n')
    expect(manifest.lineOf('block[1]')).toBe(4)
    expect(manifest.lineOf('block[1].b.c')).toBe(5)
    expect(manifest.lineOf('flow[1]')).toBe(7)
  })

  it('reads several documents, and counts lines from the start of the file', () => {
    const { manifests } = parse(`---\n${HUB}---\n# nothing\n---\nkind: Other\n...\n`)
    expect(manifests.map(({ line }) => line)).toEqual([3, 15])
    expect(manifests.map(({ data }) => (data as { kind: string }).kind)).toEqual(['Hub', 'Other'])
  })

  it.each(['', '\n', '# only a comment\n', '---\n---\n'])('reads %j as no object at all', (text) => {
    expect(parse(text)).toEqual({ manifests: [], problems: [] })
  })

  it('takes yes, no, on and off as kubectl does, unless they are quoted', () => {
    expect(only('a: yes\nb: Off\nc: "yes"\nd: yesterday\n').data).toEqual({
      a: true,
      b: false,
      c: 'yes',
      d: 'yesterday',
    })
  })

  it('reads JSON with lines', () => {
    const manifest = only('{\n  "kind": "Hub",\n  "spec": {\n    "enabled": 1\n  }\n}\n')
    expect(manifest.lineOf('spec.enabled')).toBe(4)
  })

  it('takes a List apart', () => {
    const { manifests } = parse(
      'apiVersion: v1\nkind: List\nitems:\n- kind: A\n  spec: {}\n- kind: B\n  spec: {}\n',
    )
    expect(manifests.map(({ data }) => (data as { kind: string }).kind)).toEqual(['A', 'B'])
    expect(manifests[1]?.lineOf('spec')).toBe(7)
  })

  it('follows anchors and merge keys', () => {
    expect(only('base: &b {x: 1}\nother:\n  <<: *b\n  y: 2\n').data).toMatchObject({ other: { x: 1, y: 2 } })
  })

  it.each([
    ['an unclosed bracket', 'kind: Hub\nspec: {a: 1\n', 'hub.yaml:3: expected valid YAML, got '],
    ['a tab as indentation', 'kind: Hub\nspec:\n\ta: 1\n', 'hub.yaml:3: expected valid YAML, got '],
    [
      'a key that stands there twice',
      'kind: Hub\nspec: {}\nspec: {}\n',
      'hub.yaml:3: expected valid YAML, got Map keys must be unique',
    ],
    [
      'an alias of nothing',
      'kind: Hub\nspec: *nothing\n',
      'hub.yaml:1: expected valid YAML, got Unresolved alias',
    ],
  ])('reports %s with its line', (_, text, expected) => {
    const { manifests, problems } = parse(text)
    expect(manifests).toEqual([])
    expect(problems.map(formatProblem)[0]).toContain(expected)
  })

  it('keeps the good documents of a file with a bad one', () => {
    const { manifests, problems } = parse('kind: A\n---\nkind: {\n---\nkind: C\n')
    expect(problems).toHaveLength(1)
    expect(manifests.map(({ data }) => (data as { kind: string }).kind)).toEqual(['A', 'C'])
  })

  it('refuses a document whose aliases multiply', () => {
    const levels = Array.from({ length: 12 }, (_, i) => {
      const of =
        i === 0
          ? '"x"'
          : Array(9)
              .fill(`*l${i - 1}`)
              .join(', ')
      return `l${i}: &l${i} [${of}]`
    })
    const { problems } = parse(levels.join('\n'))
    expect(problems.map(formatProblem)).toEqual([
      expect.stringMatching(/^hub\.yaml:1: expected valid YAML, got Excessive alias count/),
    ])
  })
})
