/** The end of a device, network or route: gone from the API only when no broker knows it any more. */
import { type Device, type Hub, type Network, type Route, SECRETS, SERVICES } from '../api/resources.ts'
import { hubWorkload } from '../compile/names.ts'
import type { Applier } from '../runtime/apply.ts'
import type { ReconcileContext } from '../runtime/controller.ts'
import { finalize, isDeleting } from '../runtime/finalizer.ts'
import { done, type Outcome, Waiting } from '../runtime/outcome.ts'
import { objectKey, type Resource } from '../runtime/resource.ts'
import { hubKeyOf } from '../watch/indexes.ts'
import { noteDeletion } from './deleted-devices.ts'
import { EVENT_REASONS } from './event-reasons.ts'
import { type MemberKind, memberKey } from './published.ts'
import { noteRevoked } from './revoked-certificates.ts'
import { FINALIZER, FORCE_ANNOTATION, type Tools } from './tools.ts'

/** Whatever happens, the next state that reaches Redis has the object no more. */
const GIVE_UP_AFTER_MS = 120_000
const LOOK_AGAIN_MS = 1_000

export interface Member {
  kind: MemberKind
  resource: Resource
  object: Device | Network | Route
}

export async function finalizeMember(
  tools: Tools,
  applier: Applier,
  { kind, resource, object }: Member,
  { signal, logger }: ReconcileContext,
): Promise<Outcome> {
  const { clean, left } = await finalize({
    client: tools.client,
    clock: tools.clock,
    resource,
    object,
    finalizer: FINALIZER,
    forceAnnotation: FORCE_ANNOTATION,
    giveUpAfterMs: GIVE_UP_AFTER_MS,
    signal,
    async cleanUp() {
      const hub = tools.world.hubs.get(hubKeyOf(object))
      if (kind === 'Device' && hub !== undefined) {
        await noteDeletion(tools, hub, object as Device, signal)
        await noteRevoked(tools, hub, object as Device, signal)
      }
      // Where no garbage collector runs, what was applied goes with its owner all the same.
      await applier.prune(object, [], [SECRETS, SERVICES], signal)
      if (!isUnknownToBrokers(tools, kind, object))
        throw new Waiting('Deleting', `brokers may still know the ${kind}`, LOOK_AGAIN_MS)
    },
  })
  if (!clean) {
    const note = `brokers may know the ${kind} until Redis can be reached: ${left}`
    const reason = EVENT_REASONS.StillKnown
    tools.events.event(object, { type: 'Warning', reason, action: 'Delete', note })
    logger.warn({ left }, 'object was let go before brokers forgot it')
  }
  return done()
}

/** By what was published last. Without a hub there is no broker. */
function isUnknownToBrokers(tools: Tools, kind: MemberKind, object: Member['object']): boolean {
  const key = hubKeyOf(object)
  const hub = tools.world.hubs.get(key)
  if (hub === undefined) return true
  if (isDeleting(hub) && isDismantled(hub, tools)) return true
  const published = tools.published.get(key)
  if (published === undefined || published.uid !== hub.metadata.uid) return false
  const member = published.members.get(memberKey(kind, object.metadata.name))
  return member?.uid !== object.metadata.uid
}

/** When a whole namespace goes, so do the brokers, and what would be needed to publish anything. */
function isDismantled({ metadata }: Hub, { world }: Tools): boolean {
  return world.deployments.get(objectKey(metadata.namespace, hubWorkload(metadata.name))) === undefined
}
