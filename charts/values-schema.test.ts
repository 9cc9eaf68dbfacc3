import { readFileSync } from 'node:fs'
import path from 'node:path'
import { Ajv } from 'ajv'
import { describe, expect, it } from 'vitest'
import { parse } from 'yaml'
import { OPERATOR_LABELS } from '../operator/build/redis.ts'
import { WRONG_VALUES } from './wrong-values.fixture.ts'

const ROOT = path.resolve(import.meta.dirname, '..')
const read = (file: string) => readFileSync(path.join(ROOT, file), 'utf8')
const schema = JSON.parse(read('charts/hublet/values.schema.json')) as object
const check = new Ajv({ strict: false }).compile(schema)
const chart = (name: string) => parse(read(`charts/${name}/Chart.yaml`)) as Record<string, string>

describe('the schema of the values', () => {
  it('takes the defaults of the chart', () => {
    check(parse(read('charts/hublet/values.yaml')))
    expect(check.errors).toBeNull()
  })

  it.each(Object.entries(WRONG_VALUES))('refuses %s', (_, values) => {
    expect(check(values)).toBe(false)
    const [first = ''] = Object.keys(values)
    const blamed = check.errors!.map(
      ({ instancePath, params }) => `${instancePath} ${JSON.stringify(params)}`,
    )
    expect(blamed.join('\n')).toContain(first)
  })
})

it('both charts have the version of the package and ask for the same Kubernetes', () => {
  const { version } = JSON.parse(read('package.json')) as { version: string }
  for (const name of ['hublet', 'hublet-crds'])
    expect(chart(name)).toMatchObject({ version, appVersion: version, kubeVersion: '>=1.33.0-0' })
})

it('the pods of the operator have the labels that a managed Redis lets in', () => {
  const helpers = read('charts/hublet/templates/_helpers.tpl')
  const labels = /define "hublet.selectorLabels" -}}(.*?){{- end/s.exec(helpers)?.[1] ?? ''
  for (const [name, value] of Object.entries(OPERATOR_LABELS))
    expect(labels).toContain(`\n${name}: ${value}\n`)
})
