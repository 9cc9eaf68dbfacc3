import type { SessionContext } from './context.ts'
import type { Link } from './link.ts'

/** The link of a session is gone: the session ends, or waits for its client, and its will is due or void. */
export function leaveSession(context: SessionContext, link: Link): void {
  const { device, session } = link
  if (device === undefined) return
  context.devices.removeLink(device, link)
  device.lastActivityAt = context.now()
  if (session === undefined) return
  session.detach()
  const { key, expirySeconds } = session
  const report = (error: unknown) => {
    context.counters.storeFaults += 1
    context.logger.error({ err: error }, 'the end of a link could not be stored')
  }
  // The will before the session: who ends a session deletes its will.
  if (link.saidGoodbye) context.wills.discard(key).catch(report)
  else context.wills.onLinkLost(key, expirySeconds)
  if (!session.persistent || expirySeconds === 0) {
    context.sessions.end(session).catch(report)
    return
  }
  session.expiresAt = context.now() + expirySeconds * 1000
  context.store.putSession(session.record()).catch(report)
}
