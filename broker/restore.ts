import type { SessionContext } from './session/context.ts'
import type { SessionRecord, StoredState } from './store/store.ts'

/** How long the client of a stored will may take to come back after a restart before the will is published. */
const WILL_GRACE_MS = 30_000
/** Device look-ups under way at a time: in a cluster each is a round trip. */
const CHUNK = 100

/** Takes up what an earlier life of the process left in the store. */
export async function restore(context: SessionContext, stored: StoredState): Promise<void> {
  const now = context.now()
  for (const message of stored.retained) {
    if (!context.retained.set(message, now)) {
      context.logger.warn(
        { topic: message.topic.slice(0, 200) },
        'no room for a retained message of the store',
      )
    }
  }
  for (let first = 0; first < stored.sessions.length; first += CHUNK) {
    await Promise.all(
      stored.sessions.slice(first, first + CHUNK).map((record) => restoreSession(context, record)),
    )
  }
  for (const will of stored.wills) {
    const session = context.sessions.get(will.sessionKey)
    context.wills.restore(will, session === undefined ? 0 : WILL_GRACE_MS)
  }
}

async function restoreSession(context: SessionContext, record: SessionRecord): Promise<void> {
  const device = await context.state.deviceById(record.deviceId)
  if (device === undefined) {
    // Deleted while nobody was looking: nothing of it may be delivered to whoever gets the id next.
    await context.store.deleteSession(record.key)
    return
  }
  const live = context.devices.ensure(device)
  const session = context.sessions.restore(record, live)
  // It was connected when the process died: from now on it waits, as long as a session may at most.
  const seconds = context.hub().messaging.sessionExpirySeconds
  session.expirySeconds = seconds
  session.expiresAt ??= context.now() + seconds * 1000
}
