import type { HubRecord } from '../contract/hub-state.ts'
import type { EventOutlet } from './event-outlet.ts'
import { isOutdated } from './policy/certificate.ts'
import { closeReason } from './policy/disconnects.ts'
import { closeLink, cutLink } from './session/close-link.ts'
import type { SessionContext } from './session/context.ts'
import type { Link } from './session/link.ts'

export const SWEEP_INTERVAL_MS = 1000
/** A client that takes nothing for so long, while something waits for it, is not coming back. */
export const SLOW_CONSUMER_MS = 10_000

/** Everything that only the clock brings. One timer for all links: ten thousand of their own would cost more. */
export function sweep(context: SessionContext, links: Iterable<Link>, events: EventOutlet): void {
  const now = context.now()
  for (const link of links) if (link.phase === 'Open') sweepLink(context, link, now)
  for (const session of context.sessions.expired(now)) {
    context.wills.fire(session.key)
    context.sessions.end(session).catch((error: unknown) => {
      context.counters.storeFaults += 1
      context.logger.error({ err: error }, 'an expired session could not be deleted')
    })
  }
  context.retained.removeExpired(now)
  context.routes.tellDrops()
  events.sumUp()
}

function sweepLink(context: SessionContext, link: Link, now: number): void {
  if (link.isHeld) link.lastHeardAt = now
  if (link.silenceAllowedMs > 0 && now - link.lastHeardAt > link.silenceAllowedMs) {
    closeLink(context, link, { code: 'KEEPALIVE_TIMEOUT' })
    return
  }
  if (hasOutlivedProof(link, context.hub(), now) && link.live !== undefined && link.device !== undefined) {
    const { live, device } = link
    const code = closeReason(live, { hub: context.hub(), device: device.record }, now)
    if (code !== undefined) {
      closeLink(context, link, { code })
      return
    }
  }
  if (isStuck(link, now)) {
    cutLink(context, link, { code: 'SLOW_CONSUMER', detail: `${link.outbox.pendingBytes} bytes wait` })
    return
  }
  // What a congested socket held back has no other way to learn that there is room again.
  link.session?.queue.pump()
}

/** Certificates and tokens are judged when the client comes; that they end meanwhile nobody tells us. */
function hasOutlivedProof({ facts, live }: Link, { deviceTrust }: HubRecord, now: number): boolean {
  if (live?.tokenUntil !== undefined) return live.tokenUntil <= now
  if (live?.mutual !== true) return false
  const { notAfter = Number.POSITIVE_INFINITY } = facts.peerCertificate ?? {}
  return notAfter < now || (deviceTrust.revocationLists ?? []).some((list) => isOutdated(list, now))
}

function isStuck(link: Link, now: number): boolean {
  const { flushedBytes } = link.transport
  if (link.outbox.pendingBytes === 0 || flushedBytes !== link.flushedBytes) {
    link.flushedBytes = flushedBytes
    link.flushedAt = now
    return false
  }
  return now - link.flushedAt >= SLOW_CONSUMER_MS
}
