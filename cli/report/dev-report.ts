/** What a support bundle says of `hublet dev`: manifests, what is in the data folder, and no key of it. */
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join, relative } from 'node:path'
import { loadManifests } from '../manifests/load-manifests.ts'
import { formatProblem } from '../manifests/problem.ts'
import type { ReportFile } from './bundle.ts'
import { redactObject, redactText } from './redact.ts'

export interface DevReportOptions {
  paths: readonly string[]
  /** The data folder. */
  data: string
}

/** Files of the data folder that are listed. */
const MAX_FILES = 10_000
const IS_PUBLIC = /\.crt$/

export async function devReport({ paths, data }: DevReportOptions): Promise<ReportFile[]> {
  const folder = await loadManifests({ paths, dataFolder: data, skipOtherKinds: true })
  const files = filesOf(data)
  const objects = folder.valid ? [...folder.set.values()].map(({ object }) => withoutContent(object)) : []
  const problems = folder.valid ? [] : folder.problems.map(formatProblem)
  return [
    { name: 'objects.json', content: `${JSON.stringify(redactObject(objects), undefined, 2)}\n` },
    { name: 'problems.txt', content: problems.map((line) => `${redactText(line)}\n`).join('') },
    { name: 'data-folder.txt', content: files.map(({ name, size }) => `${size}\t${name}\n`).join('') },
    ...files
      .filter(({ name }) => IS_PUBLIC.test(name))
      .map(({ name }) => ({
        name: `data/${name.slice(-70)}`,
        content: redactText(readFileSync(join(data, name), 'utf8')),
      })),
  ]
}

/** Of Secrets and ConfigMaps the names of their keys only. */
function withoutContent(object: { kind: string; metadata: object }): object {
  if (object.kind !== 'Secret' && object.kind !== 'ConfigMap') return object
  const { data = {}, stringData = {} } = object as { data?: object; stringData?: object }
  return { kind: object.kind, metadata: object.metadata, keys: Object.keys({ ...data, ...stringData }) }
}

function filesOf(folder: string): Array<{ name: string; size: number }> {
  try {
    return readdirSync(folder, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .slice(0, MAX_FILES)
      .map((entry) => join(entry.parentPath, entry.name))
      .map((path) => ({ name: relative(folder, path), size: statSync(path).size }))
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
    throw error
  }
}
