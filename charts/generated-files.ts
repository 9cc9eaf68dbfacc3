/** Everything in `charts/hublet` that is generated: values and their schema, the rules of RBAC, Chart.yaml. */
import { Document, parseDocument, stringify, YAMLMap } from 'yaml'
import { KINDS } from '../crds/kinds.ts'
import { API_VERSION, GROUP, VERSION } from '../crds/meta.ts'
import {
  KINDS_ROLE,
  kindRules,
  ownNamespaceRules,
  rbacObjects,
  WORKLOADS_ROLE,
  workloadRules,
} from '../operator/rbac.ts'
import { dashboardJson } from './dashboard.ts'
import { VALUES_SCHEMA } from './values-schema.ts'

const CHART = 'charts/hublet'
const NOTICE = '# Generated from charts/*.ts by `make generate`; edit it there.\n'
const KUBERNETES = '>=1.33.0-0'
const WIDTH = 110

/** `path` is relative to the repository. */
export interface GeneratedFile {
  path: string
  content: string
}

/** A node of the schema, as far as it is read here. */
interface Schema {
  type: string
  description?: string
  default?: unknown
  properties?: Record<string, Schema>
  additionalProperties?: unknown
  enum?: string[]
  minimum?: number
  maximum?: number
}

/** `readPage` gives a file as it stands: of the README only the table is ours. */
export function generatedFiles(version: string, readPage: (path: string) => string): GeneratedFile[] {
  const readme = `${CHART}/README.md`
  return [
    { path: `${CHART}/Chart.yaml`, content: chartYaml(version) },
    { path: `${CHART}/values.schema.json`, content: schemaJson() },
    { path: `${CHART}/values.yaml`, content: valuesYaml() },
    { path: `${CHART}/files/dashboard.json`, content: dashboardJson() },
    { path: `${CHART}/templates/_rules.tpl`, content: rulesTemplate() },
    { path: readme, content: withTable(readme, readPage(readme)) },
  ]
}

// Draft 7 is what every Helm 3 reads.
const schemaJson = (): string =>
  `${JSON.stringify({ $schema: 'http://json-schema.org/draft-07/schema#', ...VALUES_SCHEMA }, undefined, 2)}\n`

const properties = (schema: Schema): Array<[string, Schema]> => Object.entries(schema.properties ?? {})

/** Blocks become maps with a comment above each value. */
export function valuesYaml(): string {
  const document = new Document(valuesOf(VALUES_SCHEMA as unknown as Schema))
  comment(document.contents as YAMLMap, VALUES_SCHEMA as unknown as Schema)
  return `${NOTICE}\n${document.toString({ lineWidth: 0 })}`
}

function valuesOf(schema: Schema): unknown {
  if (schema.properties === undefined) return schema.default
  return Object.fromEntries(properties(schema).map(([name, field]) => [name, valuesOf(field)]))
}

function comment(map: YAMLMap, schema: Schema, depth = 0): void {
  for (const [at, pair] of map.items.entries()) {
    const key = pair.key as { value: string; commentBefore?: string; spaceBefore?: boolean }
    const field = schema.properties?.[key.value]
    if (field === undefined) continue
    const text = [field.description, field.enum && `One of: ${field.enum.filter(Boolean).join(', ')}.`]
    key.commentBefore = wrap(text.filter(Boolean).join(' '), WIDTH - 2 * depth - 2)
    key.spaceBefore = depth === 0 && at > 0
    if (field.properties !== undefined && pair.value instanceof YAMLMap) comment(pair.value, field, depth + 1)
  }
}

function wrap(text: string, width: number): string {
  const lines: string[] = []
  for (const word of text.split(' ')) {
    const last = lines.at(-1)
    if (last !== undefined && last.length + word.length < width) lines[lines.length - 1] = `${last} ${word}`
    else lines.push(` ${word}`)
  }
  return lines.join('\n')
}

/** Stands for a value of the chart in rules that are generated. */
const FULL_NAME = '{{ include "hublet.fullname" . }}'
const REDIS_SECRET = '{{ .Values.defaultRedisSecret }}'

/** Named templates with the same rules as `deploy/rbac.yaml`. */
export function rulesTemplate(): string {
  const lease = ownNamespaceRules({ leaseName: FULL_NAME })
  const withRedis = ownNamespaceRules({ leaseName: FULL_NAME, defaultRedisSecret: REDIS_SECRET })
  const userRules = (name: string) =>
    rbacObjects({ operatorNamespace: '', namespaces: [], allNamespaces: false, leaseName: '' }).find(
      ({ kind, metadata }) => kind === 'ClusterRole' && metadata.name === name,
    )?.rules
  const templates = {
    kinds: kindRules(),
    workloads: workloadRules(),
    lease,
    defaultRedis: withRedis.slice(lease.length),
    view: userRules('hublet-view'),
    edit: userRules('hublet-edit'),
  }
  const names = { kindsRole: KINDS_ROLE, workloadsRole: WORKLOADS_ROLE }
  return [
    '{{/* Generated from operator/rbac.ts by `make generate`; edit it there. */}}',
    ...Object.entries(names).map(([name, text]) => `{{- define "hublet.${name}" -}}${text}{{- end }}`),
    ...Object.entries(templates).map(
      ([name, rules]) =>
        `{{- define "hublet.rules.${name}" -}}\n${stringify(rules, { lineWidth: 0, aliasDuplicateObjects: false })}{{- end }}`,
    ),
    '',
  ].join('\n')
}

function chartYaml(version: string): string {
  const crds = KINDS.map(({ kind, plural, description }) => ({
    kind,
    version: VERSION,
    name: `${plural}.${GROUP}`,
    displayName: kind,
    description: description.replace(/\s+/g, ' '),
  }))
  const example = { apiVersion: API_VERSION, kind: 'Hub', metadata: { name: 'garden' }, spec: {} }
  const text = (value: unknown) => stringify(value, { lineWidth: 0 })
  const chart = parseDocument(
    stringify(
      {
        apiVersion: 'v2',
        name: 'hublet',
        description: 'The operator of Hublet: Hub, Device, Network and Route objects become MQTT servers.',
        type: 'application',
        version,
        appVersion: version,
        kubeVersion: KUBERNETES,
        keywords: ['mqtt', 'iot', 'broker', 'operator', 'gitops'],
        annotations: {
          'artifacthub.io/category': 'streaming-messaging',
          'artifacthub.io/license': 'Apache-2.0',
          'artifacthub.io/operator': 'true',
          'artifacthub.io/operatorCapabilities': 'Basic Install',
          'artifacthub.io/prerelease': String(version.startsWith('0.')),
          'artifacthub.io/crds': text(crds),
          'artifacthub.io/crdsExamples': text([example]),
        },
      },
      { lineWidth: 0 },
    ),
  )
  return NOTICE + chart.toString({ lineWidth: 0 })
}

const BEGIN = '<!-- values: generated from charts/ by `make generate` -->'
const END = '<!-- values: end -->'

function withTable(path: string, page: string): string {
  const begin = page.indexOf(BEGIN)
  const end = page.indexOf(END)
  if (begin < 0 || end < begin)
    throw new Error(`${path}: expected the lines ${BEGIN} and ${END}, in that order`)
  return `${page.slice(0, begin)}${BEGIN}\n\n${valuesTable()}\n\n${page.slice(end)}`
}

function valuesTable(): string {
  const rows = (schema: Schema, prefix: string): string[] =>
    properties(schema).flatMap(([name, field]) =>
      field.properties === undefined
        ? [`| \`${prefix}${name}\` | \`${JSON.stringify(field.default)}\` | ${describe(field)} |`]
        : rows(field, `${prefix}${name}.`),
    )
  return [
    '| Value | Default | What it is |',
    '|---|---|---|',
    ...rows(VALUES_SCHEMA as unknown as Schema, ''),
  ].join('\n')
}

function describe({ description = '', enum: values, minimum, maximum }: Schema): string {
  if (values !== undefined) return `${description} One of: ${values.filter(Boolean).join(', ')}.`
  return minimum === undefined ? description : `${description} From ${minimum} to ${maximum}.`
}
