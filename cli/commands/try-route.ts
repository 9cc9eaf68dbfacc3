import { randomUUID } from 'node:crypto'
import type { Writable } from 'node:stream'
import type { RouteRecord } from '../../contract/hub-state.ts'
import { testRoute } from '../../routes/dry-run.ts'
import { hubsOf } from '../dev/hub-manifests.ts'
import { routeIdOf } from '../dev/route-credentials.ts'
import { loadManifests } from '../manifests/load-manifests.ts'
import { formatProblem } from '../manifests/problem.ts'
import { formatTable } from '../print/table.ts'

export interface RouteTestOptions {
  route: string
  paths: readonly string[]
  /** Needed when several hubs have a route of that name. */
  hub: string | undefined
  topic: string
  payload: string
  qos: 0 | 1 | 2
  retain: boolean
}

/**
 * Says what a route would do with a message, and does nothing.
 * @returns the exit code: 0 something would be delivered, 1 nothing, or it cannot be told.
 */
export async function runRouteTest(
  { route, paths, hub, topic, payload, qos, retain }: RouteTestOptions,
  { stdout, stderr }: { stdout: Writable; stderr: Writable },
): Promise<number> {
  const folder = await loadManifests({ paths })
  if (!folder.valid) {
    stderr.write(`${folder.problems.map(formatProblem).join('\n')}\n`)
    return 1
  }
  const found = hubsOf(folder.set)
    .filter(({ key }) => hub === undefined || key === hub)
    .flatMap(({ key, routes }) =>
      routes.filter(({ object }) => object.metadata.name === route).map(({ object }) => ({ key, object })),
    )
  const [only, ...others] = found
  if (only === undefined || others.length > 0) {
    const hint = `hubs ${found.map(({ key }) => key).join(', ')} have a route ${route}: name one with --hub`
    const none = `expected a route of a hub here, got ${JSON.stringify(route)}`
    stderr.write(`hublet: ${others.length > 0 ? hint : none}\n`)
    return 1
  }
  const { metadata, spec } = only.object
  const { topic: filter, enabled } = spec
  const record: RouteRecord = {
    id: routeIdOf(only.object),
    name: metadata.name,
    topic: filter,
    enabled,
    spec,
  }
  const message = { topic, payload: Buffer.from(payload), qos, retain }
  const told = testRoute(record, { ...message, position: '', id: randomUUID(), time: Date.now() })
  stdout.write(`${formatTable(told.steps).join('\n')}\n`)
  stdout.write(told.delivers ? 'would be delivered\n' : 'nothing would be delivered\n')
  return told.delivers ? 0 : 1
}
