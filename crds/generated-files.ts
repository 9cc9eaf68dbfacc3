import { stringify } from 'yaml'
import { crdManifest, crdName } from './crd-manifest.ts'
import { fieldTables } from './docs-table.ts'
import { KINDS } from './kinds.ts'
import type { KindDefinition } from './meta.ts'

export const MANIFEST_FOLDER = 'crds/manifests'
export const CHART_FOLDER = 'charts/hublet-crds/templates'
export const DOCS_FOLDER = 'docs/spec'

const BEGIN = '<!-- fields: generated from crds/ by `make generate` -->'
const END = '<!-- fields: end -->'

const NOTICE = '# Generated from crds/ by `make generate`; edit it there.\n'

/** `path` is relative to the repository. */
export interface GeneratedFile {
  path: string
  content: string
}

/** Every generated file. `readPage` gives a page of docs/spec as it stands: only its tables are ours. */
export function generatedFiles(readPage: (path: string) => string): GeneratedFile[] {
  return KINDS.flatMap((kind) => {
    const page = `${DOCS_FOLDER}/${kind.singular}.md`
    return [
      { path: `${MANIFEST_FOLDER}/${crdName(kind)}.yaml`, content: crdYaml(kind) },
      { path: `${CHART_FOLDER}/${crdName(kind)}.yaml`, content: chartTemplate(kind) },
      { path: page, content: withTables(page, readPage(page), kind) },
    ]
  })
}

function crdYaml(kind: KindDefinition): string {
  return NOTICE + toYaml(crdManifest(kind))
}

/**
 * The same for Helm, which must neither take the `{{` of a description for its own nor delete all hubs of a
 * cluster when the chart is uninstalled.
 */
function chartTemplate(kind: KindDefinition): string {
  const manifest = crdManifest(kind)
  const annotations = { 'helm.sh/resource-policy': 'keep' }
  const kept = { ...manifest, metadata: { ...manifest.metadata, annotations } }
  return NOTICE + toYaml(kept).replaceAll('{{', '{{ "{{" }}')
}

// One rule object may stand in several places; an alias in a CRD would only puzzle its reader.
const toYaml = (value: unknown) => stringify(value, { lineWidth: 0, aliasDuplicateObjects: false })

function withTables(path: string, page: string, kind: KindDefinition): string {
  const begin = page.indexOf(BEGIN)
  const end = page.indexOf(END)
  if (begin < 0 || end < begin)
    throw new Error(`${path}: expected the lines ${BEGIN} and ${END}, in that order`)
  return `${page.slice(0, begin)}${BEGIN}\n\n${fieldTables(kind)}\n\n${page.slice(end)}`
}
