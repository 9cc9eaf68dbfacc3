/** Tells of a route whether it is known, complete and, by what its worker reports, delivering. */
import { ROUTE_REASONS, type RouteStatus } from '../../crds/route.ts'
import { ROUTES, type Route } from '../api/resources.ts'
import { type Finding, failing } from '../runtime/conditions.ts'
import type { Reconcile } from '../runtime/controller.ts'
import { ensureFinalizer, isDeleting } from '../runtime/finalizer.ts'
import { done } from '../runtime/outcome.ts'
import { writeStatus } from '../runtime/status.ts'
import { fieldsOf } from './awaiting.ts'
import { enter } from './entrance.ts'
import { next } from './hub.ts'
import { finalizeMember } from './member-deletion.ts'
import { hubNotFound, hubOf, isPublished, memberFindings } from './member-status.ts'
import { tellReadiness } from './ready-events.ts'
import { routeFields, routeFindings } from './route-status.ts'
import { routeValues } from './routes-part.ts'
import { createApplier, FIELD_MANAGERS, FINALIZER, type Tools } from './tools.ts'

export function routeReconcile(tools: Tools): Reconcile {
  const applier = createApplier(tools, FIELD_MANAGERS.route)
  return async (key, context) => {
    const route = tools.world.routes.get(key)
    if (route === undefined) {
      tools.routeReports.forget(key)
      return done()
    }
    const entering = { resource: ROUTES, object: route, fieldManager: FIELD_MANAGERS.route }
    const closed = await enter(tools, { ...entering, signal: context.signal })
    if (closed !== undefined) return closed
    const member = { kind: 'Route', resource: ROUTES, object: route } as const
    if (isDeleting(route)) return await finalizeMember(tools, applier, member, context)
    const { client } = tools
    const { signal } = context
    const finalizer = { client, resource: ROUTES, object: route, finalizer: FINALIZER, signal }
    if ((await ensureFinalizer(finalizer)) === 'added') return done()
    const findings = await findingsOf(route, tools, signal)
    if (findings === undefined) return done()
    const report = tools.routeReports.of(route)?.report
    const fields = report === undefined ? fieldsOf(route.status) : routeFields(report)
    tellReadiness(tools.events, route, findings)
    await writeStatus<RouteStatus>({
      client,
      clock: tools.clock,
      resource: ROUTES,
      object: route,
      fieldManager: FIELD_MANAGERS.route,
      fields,
      findings,
      view: tools.world.routes,
      signal,
    })
    return next([], undefined, tools.clock.now())
  }
}

/** Undefined: what the status says will do until brokers know the route. */
async function findingsOf(route: Route, tools: Tools, signal: AbortSignal): Promise<Finding[] | undefined> {
  if (hubOf(tools, route) === undefined) return failing(hubNotFound(route))
  const { problems } = await routeValues(route, tools, signal)
  const known = isPublished(tools, 'Route', route, '')
  const isSeen = route.status?.observedGeneration !== undefined
  if (problems.length === 0 && !known && isSeen) return undefined
  if (problems.length > 0 || !known || !route.spec.enabled)
    return memberFindings({
      member: route,
      problems,
      isPublished: known,
      ready: { reason: ROUTE_REASONS.Disabled, message: 'spec.enabled is false: nothing is taken' },
    })
  const seen = tools.routeReports.of(route)
  // After a restart of the operator what was told of this generation holds until somebody has looked.
  const wasTold = route.status?.observedGeneration === route.metadata.generation
  return seen === undefined && wasTold ? undefined : routeFindings(seen?.report)
}
