import { type Document, LineCounter, type Node, parseAllDocuments, type ScalarTag } from 'yaml'
import { fieldOffset } from './field-location.ts'
import type { Problem } from './problem.ts'

/** One object of a file, as plain data, before anything is known about its kind. */
export interface RawManifest {
  file: string
  /** Where it begins, from 1. */
  line: number
  data: unknown
  /** Line of a field such as `spec.id`, or of the nearest thing around it. */
  lineOf(field: string): number
}

/** Aliases that one document may resolve to; a few lines of them can otherwise stand for gigabytes. */
const MAX_ALIASES = 100

/**
 * kubectl reads YAML 1.1, where these words are booleans, too. Read as strings, a manifest that a cluster
 * takes would be refused here.
 */
const YAML_1_1_BOOLEAN: ScalarTag = {
  tag: 'tag:yaml.org,2002:bool',
  default: true,
  test: /^(?:yes|Yes|YES|no|No|NO|on|On|ON|off|Off|OFF)$/,
  resolve: (text) => /^(?:yes|on)$/i.test(text),
}

/** Every object in one file of YAML or JSON (JSON is YAML). Pure: `text` is the whole file. */
export function parseManifests(
  file: string,
  text: string,
): { manifests: RawManifest[]; problems: Problem[] } {
  const lines = new LineCounter()
  const documents = parseAllDocuments(text, {
    lineCounter: lines,
    merge: true,
    customTags: (tags) => [...tags, YAML_1_1_BOOLEAN],
  })
  if ('empty' in documents) return { manifests: [], problems: [] }
  const manifests: RawManifest[] = []
  const problems: Problem[] = []
  for (const document of documents) {
    const result = readDocument(document, { file, lines })
    if ('problem' in result) problems.push(result.problem)
    else manifests.push(...result.manifests)
  }
  return { manifests, problems }
}

interface Place {
  file: string
  lines: LineCounter
}

function readDocument(
  document: Document.Parsed,
  { file, lines }: Place,
): { manifests: RawManifest[] } | { problem: Problem } {
  const lineAt = (offset: number) => Math.max(1, lines.linePos(offset).line)
  const [fault] = document.errors
  if (fault !== undefined) {
    const [got = fault.message] = fault.message.split('\n', 1)
    return { problem: syntaxProblem(file, lineAt(fault.pos[0]), got.replace(/ at line \d+.*$/, '')) }
  }
  let data: unknown
  try {
    data = document.toJS({ maxAliasCount: MAX_ALIASES })
  } catch (error) {
    return { problem: syntaxProblem(file, lineAt(document.range[0]), (error as Error).message) }
  }
  // `---` with nothing but comments after it.
  if (data === null) return { manifests: [] }
  const root = document.contents as Node | null
  const manifest = (part: unknown, path: string): RawManifest => ({
    file,
    line: lineAt(fieldOffset(root, path)),
    data: part,
    lineOf: (field) => lineAt(fieldOffset(root, join(path, field))),
  })
  const items = itemsOfList(data)
  if (items === undefined) return { manifests: [manifest(data, '')] }
  return { manifests: items.map((item, index) => manifest(item, `items[${index}]`)) }
}

const join = (path: string, field: string) =>
  path === '' || field === '' ? path + field : `${path}.${field}`

/** `kubectl get -o yaml` wraps what it prints in a List. */
function itemsOfList(data: unknown): unknown[] | undefined {
  if (typeof data !== 'object' || data === null) return undefined
  const { apiVersion, kind, items } = data as Record<string, unknown>
  return apiVersion === 'v1' && kind === 'List' && Array.isArray(items) ? items : undefined
}

const syntaxProblem = (file: string, line: number, got: string): Problem => ({
  file,
  line,
  error: { field: '', expected: 'expected valid YAML', got },
})
