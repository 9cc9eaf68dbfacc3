import { randomUUID } from 'node:crypto'
import type { UsedCertificate } from '../../contract/activity-digest.ts'
import type { Session } from '../deliver/session.ts'
import { certificateOf } from '../policy/certificate.ts'
import { closeReason } from '../policy/disconnects.ts'
import type { Identity } from '../policy/identity.ts'
import { deny, type Verdict } from '../policy/verdict.ts'
import { closeLink } from './close-link.ts'
import type { SessionContext } from './context.ts'
import type { Link } from './link.ts'
import { sessionKey } from './sessions.ts'
import type { GivenWill } from './wills.ts'

/** What a CONNECT asks of its session, judged. */
export interface SessionPlan {
  clean: boolean
  expirySeconds: number
  will: GivenWill | undefined
}

export interface OpenedSession {
  session: Session
  /** A stored session goes on. */
  present: boolean
  /** The client brought no id. */
  assignedClientId: string | undefined
}

/** The client went away while its session was being opened: nobody is left to be told. */
export const GONE = 'Gone'

/**
 * Gives the link its session: takes over from older links, resumes or starts, and stores what has to be stored
 * before the CONNACK. Calls for one device must follow one another.
 */
export async function openSession(
  context: SessionContext,
  link: Link,
  identity: Identity,
  plan: SessionPlan,
): Promise<Verdict<OpenedSession> | typeof GONE> {
  const standing = await stillAdmitted(context, link, identity)
  if (!standing.allowed) return standing
  if (link.phase === 'Closed') return GONE
  const assignedClientId = identity.clientId === undefined ? randomUUID() : undefined
  const clientId = identity.clientId ?? assignedClientId!
  const key = sessionKey(link.device!.id, clientId)
  takeOver(context, link, key)
  const { connections } = context.hub().limits
  if (context.devices.links > connections) return deny('HUB_BUSY', `${connections} connections`)

  const { session, present } = await resumeOrStart(context, link, { key, clientId, plan })
  session.expirySeconds = plan.expirySeconds
  session.expiresAt = undefined
  link.session = session
  if (session.persistent) await context.store.putSession(session.record())
  if (isClosed(link)) return GONE
  if (plan.will === undefined) await context.wills.discard(key)
  else await context.wills.set(key, link.device!.id, plan.will)
  return { allowed: true, value: { session, present, assignedClientId } }
}

/** Puts the link among those that changes reach, then looks whether one came before it was there. */
async function stillAdmitted(context: SessionContext, link: Link, identity: Identity): Promise<Verdict> {
  const { devices, state } = context
  const device = devices.ensure(identity.device)
  link.device = device
  link.live = {
    link: link.facts,
    mutual: identity.mutual,
    ...(identity.tokenUntil === undefined ? {} : { tokenUntil: identity.tokenUntil }),
    admitted: { hub: context.hub(), device: identity.device },
  }
  devices.addLink(device, link)
  const current = await state.deviceById(identity.device.id)
  const reason = closeReason(link.live, { hub: context.hub(), device: current }, context.now())
  if (reason !== undefined) return deny(reason)
  if (identity.mutual) device.certificate = usedCertificate(link) ?? device.certificate
  return { allowed: true, value: undefined }
}

function usedCertificate({ facts }: Link): UsedCertificate | undefined {
  const certificate = certificateOf(facts)
  return certificate && { fingerprint: certificate.fingerprint, notAfter: certificate.notAfter }
}

/** [MQTT-3.1.4-3]: the older link of a session goes; without multiple connections all of the device go. */
function takeOver(context: SessionContext, link: Link, key: string): void {
  const device = link.device!
  for (const other of [...device.links]) {
    if (other === link) continue
    if (!device.record.allowMultipleConnections || other.session?.key === key) {
      closeLink(context, other, { code: 'CONNECTION_REPLACED' })
    }
  }
}

async function resumeOrStart(
  context: SessionContext,
  link: Link,
  { key, clientId, plan }: { key: string; clientId: string; plan: SessionPlan },
): Promise<{ session: Session; present: boolean }> {
  const { sessions, wills } = context
  const known = sessions.get(key)
  // The sweep that forgets it may be up to a second late.
  const expired = (known?.expiresAt ?? Number.POSITIVE_INFINITY) <= context.now()
  if (known !== undefined && !plan.clean && !expired) return { session: known, present: true }
  if (known !== undefined) {
    // The old session ends here, and a will that waited on it is due (MQTT 5 §3.1.3.2.2).
    wills.fire(key)
    await sessions.end(known)
  }
  const persistent = plan.expirySeconds > 0
  if (persistent) {
    for (const surplus of sessions.surplus(link.device!.id, context.hub().limits.sessionsPerDevice)) {
      wills.fire(surplus.key)
      await sessions.end(surplus)
    }
  }
  return { session: sessions.create(link.device!, clientId, persistent), present: false }
}

const isClosed = (link: Link): boolean => link.phase === 'Closed'
