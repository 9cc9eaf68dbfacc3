import type { HubState, ServerCredentials } from '../../contract/hub-state.ts'
import type { RouteCredentials } from '../../contract/route-credentials.ts'
import type { Hub } from '../../crds/hub.ts'
import type { Diagnostic } from '../../operator/compile/diagnostic.ts'
import { compileHubState } from '../../operator/compile/hub-state.ts'
import type { ManifestSet } from '../manifests/manifest-set.ts'
import type { Problem } from '../manifests/problem.ts'
import { crossNamespaceProblems } from '../manifests/references.ts'
import { type HubManifests, hubsOf } from './hub-manifests.ts'
import type { IdentityStore } from './identity-store.ts'
import { collectCredentials } from './route-credentials.ts'

/** One hub as it should run now. */
export interface HubPlan {
  key: string
  hub: Hub
  manifests: HubManifests
  state: HubState
  server: ServerCredentials
  /** Secret values of its routes, by id. */
  routeCredentials: ReadonlyMap<string, RouteCredentials>
  diagnostics: Diagnostic[]
}

export type PlanResult = { valid: true; plans: HubPlan[] } | { valid: false; problems: Problem[] }

/**
 * Works out every hub of a set. All or nothing, like the set itself.
 * @throws DataFolderError when identities cannot be read or kept.
 */
export async function planHubs(set: ManifestSet, identities: IdentityStore): Promise<PlanResult> {
  const hubs = hubsOf(set)
  const problems = crossNamespaceProblems(set)
  if (problems.length > 0) return { valid: false, problems }
  const plans: HubPlan[] = []
  for (const manifests of hubs) {
    const result = await identities.ensure(manifests)
    if (!result.valid) {
      problems.push(...result.problems)
      continue
    }
    const { identity } = result
    const hub = manifests.hub.object
    const { state, diagnostics } = compileHubState({
      hub,
      devices: identity.devices,
      networks: manifests.networks.map(({ object }) => object),
      routes: manifests.routes.map(({ object }) => object),
      facts: identity.facts,
    })
    const routes = collectCredentials(manifests)
    plans.push({
      key: manifests.key,
      hub,
      manifests,
      state,
      server: identity.server,
      routeCredentials: routes.credentials,
      diagnostics: merged(identity.diagnostics, [...diagnostics, ...routes.diagnostics]),
    })
  }
  return problems.length > 0 ? { valid: false, problems } : { valid: true, plans }
}

/** Compile knows of a token only that there is none; whoever looked at it knows why. */
function merged(first: readonly Diagnostic[], second: readonly Diagnostic[]): Diagnostic[] {
  const explained = new Set(first.filter(({ kind }) => kind === 'Network').map(({ name }) => name))
  return [...first, ...second.filter(({ kind, name }) => kind !== 'Network' || !explained.has(name))]
}
