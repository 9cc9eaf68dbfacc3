import type { Writable } from 'node:stream'
import { loadManifests } from '../manifests/load-manifests.ts'
import { ofKind } from '../manifests/manifest-set.ts'
import { formatProblem } from '../manifests/problem.ts'
import { danglingReferences } from '../manifests/references.ts'

/**
 * Gives manifests the verdict that an API server gives them, and looks at their references.
 * @returns the exit code: 0 when everything is valid, 1 when something is not.
 */
export async function runValidate(
  paths: readonly string[],
  { stdout, stderr }: { stdout: Writable; stderr: Writable },
): Promise<number> {
  const folder = await loadManifests({ paths })
  if (!folder.valid) {
    const count = folder.problems.length
    stderr.write(`${folder.problems.map(formatProblem).join('\n')}\n`)
    stderr.write(`${count} problem${count === 1 ? '' : 's'} found\n`)
    return 1
  }
  for (const text of danglingReferences(folder.set)) stderr.write(`note: ${text}\n`)
  const kinds = (['Hub', 'Device', 'Network', 'Route'] as const).map(
    (kind) => `${ofKind(folder.set, kind).length} ${kind}`,
  )
  stdout.write(`${folder.set.size} objects are valid: ${kinds.join(', ')}\n`)
  return 0
}
