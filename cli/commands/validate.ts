import type { Readable, Writable } from 'node:stream'
import { text } from 'node:stream/consumers'
import type { LoadedFolder } from '../manifests/load-manifests.ts'
import { loadManifests } from '../manifests/load-manifests.ts'
import { ofKind } from '../manifests/manifest-set.ts'
import { formatProblem, type Problem } from '../manifests/problem.ts'
import { danglingReferences } from '../manifests/references.ts'
import { expressionProblems } from '../manifests/route-expressions.ts'

export const VALIDATE_OUTPUTS = ['text', 'json'] as const

export interface ValidateOptions {
  /** Files and folders; `-` is the standard input. */
  paths: readonly string[]
  output: (typeof VALIDATE_OUTPUTS)[number]
  /** References that nothing among the manifests answers count as problems. */
  strict: boolean
  /** Objects of other API groups are passed over, as a repository for a whole cluster has them. */
  skipOtherKinds: boolean
}

interface Streams {
  stdin: Readable
  stdout: Writable
  stderr: Writable
}

/** What `--output json` prints; fields are added, never renamed. */
interface Report {
  valid: boolean
  objects: Record<string, number>
  skipped: number
  problems: Array<{ file: string; line?: number; field: string; expected: string; got: string }>
  notes: string[]
}

const KINDS = ['Hub', 'Device', 'Network', 'Route'] as const
const STDIN = '-'

/**
 * Gives manifests the verdict that an API server gives them, compiles the expressions of routes, which no API server
 * does, and looks at references. Asks no cluster.
 * @returns the exit code: 0 when everything is valid, 1 when something is not.
 */
export async function runValidate(options: ValidateOptions, streams: Streams): Promise<number> {
  const { skipOtherKinds } = options
  const paths = options.paths.filter((path) => path !== STDIN)
  const stdin = paths.length === options.paths.length ? undefined : await text(streams.stdin)
  const loaded = await loadManifests({ paths, skipOtherKinds, ...(stdin === undefined ? {} : { stdin }) })
  const folder = withExpressions(loaded)
  const notes = folder.valid ? danglingReferences(folder.set) : []
  const isGood = folder.valid && !(options.strict && notes.length > 0)
  if (options.output === 'json') {
    streams.stdout.write(`${JSON.stringify(report(folder, notes, isGood), undefined, 2)}\n`)
  } else {
    print(folder, notes, streams, options.strict ? 'problem' : 'note')
  }
  return isGood ? 0 : 1
}

function withExpressions(folder: LoadedFolder): LoadedFolder {
  if (!folder.valid) return folder
  const { files, skipped } = folder
  const problems = expressionProblems(folder.set)
  return problems.length === 0 ? folder : { valid: false, problems, files, skipped }
}

function report(folder: LoadedFolder, notes: readonly string[], valid: boolean): Report {
  const { skipped } = folder
  const problems = folder.valid ? [] : folder.problems.map(reported)
  return { valid, objects: counts(folder), skipped, problems, notes: [...notes] }
}

const reported = ({ file, line, error: { field, expected, got } }: Problem) => ({
  file,
  ...(line === undefined ? {} : { line }),
  field,
  expected,
  got,
})

const counts = (folder: LoadedFolder): Record<string, number> =>
  Object.fromEntries(folder.valid ? KINDS.map((kind) => [kind, ofKind(folder.set, kind).length]) : [])

function print(
  folder: LoadedFolder,
  notes: readonly string[],
  { stdout, stderr }: Pick<Streams, 'stdout' | 'stderr'>,
  noteIsA: 'note' | 'problem',
): void {
  if (!folder.valid) {
    const count = folder.problems.length
    stderr.write(`${folder.problems.map(formatProblem).join('\n')}\n`)
    stderr.write(`${count} problem${count === 1 ? '' : 's'} found\n`)
    return
  }
  for (const note of notes) stderr.write(`${noteIsA}: ${note}\n`)
  const kinds = Object.entries(counts(folder)).map(([kind, count]) => `${count} ${kind}`)
  const skipped = folder.skipped === 0 ? '' : `; ${folder.skipped} of other kinds were not looked at`
  stdout.write(`${folder.set.size} objects are valid: ${kinds.join(', ')}${skipped}\n`)
}
