import type { Hub } from '../../crds/hub.ts'
import type { LoadedManifest } from '../manifests/manifest-set.ts'
import type { Problem } from '../manifests/problem.ts'
import type { HubManifests } from './hub-manifests.ts'

/**
 * Fields that a cluster's hub may set and that this process cannot honour yet. They are refused: a hub that
 * trusts other certificates than its manifest says is worse than none.
 */
export function unsupportedProblems({ object, source }: LoadedManifest<Hub>): Problem[] {
  const { autoProvisioning } = object.spec
  const problems: Problem[] = []
  const refuse = (field: string, expected: string, got: string) =>
    problems.push({ file: source.file, line: source.lineOf(field), error: { field, expected, got } })
  if (autoProvisioning.enabled)
    refuse(
      'spec.autoProvisioning.enabled',
      'expected false, as hublet dev cannot provision devices yet',
      'true',
    )
  return problems
}

/** What is taken and has no effect here, as sentences. */
export function withoutEffect({ hub, routes, networks }: HubManifests): string[] {
  const { replicas, redis } = hub.object.spec
  const notes: string[] = []
  if (replicas > 1) notes.push(`replicas: ${replicas}: one process serves the hub here`)
  if (redis !== undefined) notes.push('redis: messages and sessions are kept in the data folder here')
  const names = routes.map(({ object }) => object.metadata.name)
  if (names.length > 0) notes.push(`routes are not delivered here yet: ${names.join(', ')}`)
  const exposed = networks.filter(({ object }) => object.spec.exposure.type !== 'Hub')
  if (exposed.length > 0)
    notes.push(
      `exposure of networks: the listeners of the hub serve them here: ${exposed
        .map(({ object }) => object.metadata.name)
        .join(', ')}`,
    )
  return notes
}
