/** Brings what brokers are to know of a hub into its Redis. A loop of its own: a device is cut off also while the API server refuses everything else. */

import type { Clock } from '../../contract/clock.ts'
import type { Device, Hub, Network, Route } from '../api/resources.ts'
import type { Diagnostic } from '../compile/diagnostic.ts'
import type { HubFacts } from '../compile/facts.ts'
import { compileHubState } from '../compile/hub-state.ts'
import { HubStateError } from '../redis/hub-state-error.ts'
import { BoundedMap } from '../runtime/bounded-map.ts'
import type { Controller, Reconcile, ReconcileContext } from '../runtime/controller.ts'
import { isDeleting } from '../runtime/finalizer.ts'
import { done, type Outcome, requeueAfter } from '../runtime/outcome.ts'
import type { ObjectKey } from '../runtime/resource.ts'
import { HUB_INDEX } from '../watch/indexes.ts'
import { DENIED_MS } from '../watch/namespace-gate.ts'
import { type DeviceTrust, inForce, trustInForce } from './device-trust.ts'
import { OPENING_RETRY_MS } from './entrance.ts'
import { holders } from './hub-deletion.ts'
import { factsText, gatherFacts } from './hub-facts.ts'
import { memberKey, type PublishedHub, type PublishedMember } from './published.ts'
import { redisTarget } from './redis-access.ts'
import type { Tools } from './tools.ts'

/** Redis may have been emptied by somebody; nobody would tell. */
const LOOK_AGAIN_MS = 300_000

export interface HubStateWakers {
  /** The hub's own reconcile: its status tells how publishing went. */
  hub: (hub: ObjectKey) => void
  /** The same for mere counts, which must not cost a write for each change. */
  hubLater: (hub: ObjectKey) => void
  /** Members (`memberKey`) for which something is new. */
  members: (hub: ObjectKey, keys: readonly string[]) => void
  /** Every member: those that wait for their publication say why it does not come. */
  allMembers: (hub: ObjectKey) => void
  /** Told how long a run took, ms. */
  took: (hub: ObjectKey, ms: number) => void
}

interface Members {
  devices: Device[]
  networks: Network[]
  routes: Route[]
}

export function hubStateReconcile(tools: Tools, wake: HubStateWakers): Reconcile {
  return async (key, context) => {
    const hub = tools.world.hubs.get(key)
    if (hub === undefined) return done()
    const { namespace = '' } = hub.metadata
    // The hub's own reconcile tells when there are no rights.
    const answer = await tools.gate.open(namespace, context.signal)
    if (answer !== 'open') return requeueAfter(answer === 'denied' ? DENIED_MS : OPENING_RETRY_MS)
    const started = tools.clock.monotonic()
    try {
      const published = await publish(hub, key, tools, context.signal)
      return published === undefined ? done() : tellSuccess(key, published, { tools, wake, context })
    } catch (error) {
      tellFailure(key, error, { tools, wake, context })
      throw error
    } finally {
      wake.took(key, tools.clock.monotonic() - started)
    }
  }
}

interface Telling {
  tools: Tools
  wake: HubStateWakers
  context: ReconcileContext
}

function tellSuccess(key: ObjectKey, published: Published, { tools, wake, context }: Telling): Outcome {
  const { hub, changes, facts, trust } = published
  const before = tools.published.get(key)
  const isNews =
    tools.published.failure(key) !== undefined ||
    before?.uid !== hub.uid ||
    before.generation !== hub.generation
  wake.members(key, tools.published.succeeded(key, hub))
  if (isNews) wake.hub(key)
  else if (before.devices !== hub.devices || before.members.size !== hub.members.size) wake.hubLater(key)
  context.logger.debug({ devices: hub.devices, changes }, 'hub state was published')
  return lookAgain(tools, facts, trust)
}

function tellFailure(key: ObjectKey, error: unknown, { tools, wake, context }: Telling): void {
  if (context.signal.aborted || !(error instanceof HubStateError)) return
  const { code, message } = error
  if (code === 'NOT_LEADER' || !tools.published.failed(key, { code, message })) return
  wake.hub(key)
  wake.allMembers(key)
}

interface Published {
  hub: PublishedHub
  changes: number
  facts: HubFacts
  trust: DeviceTrust
}

/** Undefined: the hub's own reconcile has to put something in place first, which wakes this loop again. */
async function publish(
  hub: Hub,
  key: ObjectKey,
  tools: Tools,
  signal: AbortSignal,
): Promise<Published | undefined> {
  const trust = trustInForce(tools.world, hub, tools.clock.now())
  if (trust === undefined) return undefined
  const target = await redisTarget(hub, tools, signal)
  if ('problem' in target) throw new HubStateError('REDIS_UNAVAILABLE', target.problem.message)
  if (target.found === undefined) return undefined
  const members = membersOf(key, tools)
  const facts = await gatherFacts({ hub, ...members }, trust, tools, signal)
  const { recordOf } = tools.records
  const input = { hub: asRun(inForce(hub, trust), tools), ...members, facts, recordOf }
  const { state, diagnostics } = compileHubState(input)
  const { changes } = await tools.publisher.publish(target.found, state)
  const published: PublishedHub = {
    uid: hub.metadata.uid ?? '',
    generation: hub.metadata.generation ?? 0,
    members: publishedMembers(members, facts),
    diagnostics: byMember(diagnostics),
    devices: state.devices.length,
  }
  return { hub: published, changes, facts, trust }
}

/** Nobody is let in any more once a deletion is not held up. */
function asRun(hub: Hub, { world }: Tools): Hub {
  if (!isDeleting(hub) || holders(hub, world).length > 0) return hub
  return { ...hub, spec: { ...hub.spec, enabled: false } }
}

function membersOf(key: ObjectKey, { world }: Tools): Members {
  const living = <T extends Device | Network | Route>(members: T[]): T[] =>
    members.filter((member) => !isDeleting(member))
  return {
    devices: living(world.devices.byIndex(HUB_INDEX, key)),
    networks: living(world.networks.byIndex(HUB_INDEX, key)),
    routes: living(world.routes.byIndex(HUB_INDEX, key)),
  }
}

function publishedMembers(
  { devices, networks, routes }: Members,
  facts: HubFacts,
): Map<string, PublishedMember> {
  const published = new Map<string, PublishedMember>()
  const add = (kind: 'Device' | 'Network' | 'Route', { metadata }: Device | Network | Route, text: string) =>
    published.set(memberKey(kind, metadata.name), {
      uid: metadata.uid ?? '',
      generation: metadata.generation ?? 0,
      facts: text,
    })
  for (const device of devices)
    add('Device', device, factsText(facts.devices.get(device.metadata.name) ?? {}))
  for (const network of networks)
    add('Network', network, facts.networks.get(network.metadata.name)?.tokenSha256 ?? '')
  for (const route of routes) add('Route', route, '')
  return published
}

function byMember(diagnostics: readonly Diagnostic[]): Map<string, Diagnostic[]> {
  const found = new Map<string, Diagnostic[]>()
  for (const diagnostic of diagnostics) {
    if (diagnostic.kind === 'Hub') continue
    const key = memberKey(diagnostic.kind, diagnostic.name)
    found.set(key, [...(found.get(key) ?? []), diagnostic])
  }
  return found
}

/** Certificates and the trust in retired CAs end by the clock, and nobody tells. */
function lookAgain({ clock }: Tools, { devices, now }: HubFacts, { cas }: DeviceTrust): Outcome {
  let next = Math.min(now + LOOK_AGAIN_MS, ...cas.retired.map(({ until }) => Date.parse(until)))
  for (const { certificate } of devices.values()) {
    const end = Date.parse(certificate?.notAfter ?? '')
    if (end > now && end < next) next = end
  }
  return requeueAfter(Math.max(1_000, next - clock.now()))
}

const QUIET_MS = 20
/** Runs take no more than a fifth of the time, however much there is to publish. */
const REST = 4
const LONGEST_MS = 2_000
/** Hubs whose last run is remembered; one that is forgotten runs once too early. */
const MAX_HUBS = 10_000

/**
 * Spaces out the runs of one hub by what they cost: one edit is published at once, thousands in a row in a few runs
 * and not in thousands.
 */
export class HubStatePacer {
  readonly #controller: Pick<Controller, 'enqueueAfter'>
  readonly #clock: Clock
  readonly #took = new BoundedMap<ObjectKey, { ms: number; endedAt: number }>(MAX_HUBS)

  constructor(controller: Pick<Controller, 'enqueueAfter'>, clock: Clock) {
    this.#controller = controller
    this.#clock = clock
  }

  /** Asks for a run of the hub, not before it has rested for some times what the last one took. */
  request(hub: ObjectKey): void {
    const last = this.#took.get(hub)
    const rested = last === undefined ? 0 : last.endedAt + Math.min(REST * last.ms, LONGEST_MS)
    this.#controller.enqueueAfter(hub, Math.max(QUIET_MS, rested - this.#clock.monotonic()))
  }

  took(hub: ObjectKey, ms: number): void {
    this.#took.set(hub, { ms, endedAt: this.#clock.monotonic() })
  }
}
