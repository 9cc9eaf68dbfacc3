import { describe, expect, test } from 'vitest'
import { parse } from 'yaml'
import { generatedFiles } from './generated-files.ts'

const PAGE =
  'Prose before.\n\n<!-- fields: generated from crds/ by `make generate` -->\nan outdated table\n<!-- fields: end -->\n\nProse after.\n'

const files = new Map(generatedFiles(() => PAGE).map(({ path, content }) => [path, content]))
const NAMES = ['hubs', 'devices', 'networks', 'routes'].map((plural) => `${plural}.iot.hublet.dev.yaml`)

describe.each(NAMES)('%s', (name) => {
  const manifest = files.get(`crds/manifests/${name}`) ?? ''
  const template = files.get(`charts/hublet-crds/templates/${name}`) ?? ''
  // What Helm makes of `{{ "{{" }}`.
  const rendered = template.replaceAll('{{ "{{" }}', '{{')

  test('the chart holds the same CRD, kept when the chart is uninstalled', () => {
    const expected = parse(manifest) as { metadata: object }
    const annotations = { 'helm.sh/resource-policy': 'keep' }
    expect(parse(rendered)).toEqual({ ...expected, metadata: { ...expected.metadata, annotations } })
  })

  test('every pair of braces in the template is one that Helm prints', () => {
    expect(template.replaceAll('{{ "{{" }}', '')).not.toContain('{{')
  })

  test('there is no anchor or alias to puzzle over', () => {
    expect(manifest).not.toMatch(/: [&*][a-z]\d*$/m)
  })
})

test('a page keeps its prose and gets its tables', () => {
  const page = files.get('docs/spec/device.md') ?? ''
  expect(page).toMatch(/^Prose before\.\n/)
  expect(page).toMatch(/\n<!-- fields: end -->\n\nProse after\.\n$/)
  expect(page).not.toContain('outdated')
  expect(page).toContain('| `spec.hubRef.name` | string | **required** |')
  expect(page).toContain('| `spec.messageFilters.publish.policy` | `Accept` `Reject` | `Reject` |')
  expect(page).toContain(
    '- `spec.certificate`: exactly one of managed, provided, hubCA, enrolled must be set.',
  )
})

test('a page without markers is named', () => {
  expect(() => generatedFiles(() => 'no markers')).toThrow(
    'docs/spec/hub.md: expected the lines <!-- fields:',
  )
})
