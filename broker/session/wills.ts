import type { Logger } from 'pino'
import type { HubEvent } from '../../contract/hub-event.ts'
import type { Ingest } from '../ingest.ts'
import type { ApplicationMessage, Store, WillRecord } from '../store/store.ts'

/** A timer can't wait longer than this; no will delay that anybody means is longer either. */
const MAX_DELAY_MS = 2 ** 31 - 1

export interface WillsParts {
  store: Store
  ingest: () => Ingest
  /** By the device's rules as they are now; answers at once for a device that is live. */
  mayPublish: (deviceId: string, topic: string) => boolean | Promise<boolean>
  raise: (event: HubEvent) => void
  logger: Logger
  /** ms since the epoch. */
  now: () => number
}

interface Waiting {
  record: WillRecord
  delayMs: number
  /** Seconds after which the message expires, counted from when it is published. */
  expirySeconds: number | undefined
  timer: NodeJS.Timeout | undefined
}

/** A will as its CONNECT brought it. */
export interface GivenWill {
  message: ApplicationMessage
  delaySeconds: number
  expirySeconds: number | undefined
}

/**
 * Wills: stored at CONNECT, void at DISCONNECT, published once when the link is lost, at the latest when the
 * session ends (MQTT 5 §3.1.2.5). The store takes the will out in the step that accepts its message, so that
 * it enters once, also over a crash (design §8.13).
 */
export class Wills {
  readonly #parts: WillsParts
  readonly #wills = new Map<string, Waiting>()
  #stopped = false

  constructor(parts: WillsParts) {
    this.#parts = parts
  }

  /** Resolves when it is durable. Replaces the will of an earlier link of the session. */
  async set(sessionKey: string, deviceId: string, will: GivenWill): Promise<void> {
    const record = { sessionKey, deviceId, message: will.message }
    this.#forget(sessionKey)
    this.#wills.set(sessionKey, {
      record,
      delayMs: Math.min(will.delaySeconds * 1000, MAX_DELAY_MS),
      expirySeconds: will.expirySeconds,
      timer: undefined,
    })
    await this.#parts.store.putWill(record)
  }

  /** The client said goodbye, or is back before the delay was over. */
  async discard(sessionKey: string): Promise<void> {
    if (!this.#forget(sessionKey)) return
    await this.#parts.store.deleteWill(sessionKey)
  }

  /** The link is gone without a goodbye; `sessionSeconds`: how long the session goes on. */
  onLinkLost(sessionKey: string, sessionSeconds: number): void {
    const will = this.#wills.get(sessionKey)
    if (will === undefined || this.#stopped) return
    const delayMs = Math.min(will.delayMs, sessionSeconds * 1000)
    if (delayMs === 0) this.fire(sessionKey)
    else this.#delay(will, delayMs)
  }

  /** Publishes the will now: its session ends. Nothing happens when there is none. */
  fire(sessionKey: string): void {
    const will = this.#wills.get(sessionKey)
    if (will === undefined || this.#stopped) return
    this.#forget(sessionKey)
    this.#publish(will).catch((error: unknown) => {
      this.#parts.logger.error({ err: error }, 'a will could not be published')
    })
  }

  /** A will of an earlier life of the process: its client has `graceMs` to come back. */
  restore(record: WillRecord, graceMs: number): void {
    const will: Waiting = { record, delayMs: graceMs, expirySeconds: undefined, timer: undefined }
    this.#wills.set(record.sessionKey, will)
    this.#delay(will, graceMs)
  }

  /** Nothing is published any more; what is stored is for the next start. */
  stop(): void {
    this.#stopped = true
    for (const { timer } of this.#wills.values()) clearTimeout(timer)
    this.#wills.clear()
  }

  async #publish({ record, expirySeconds }: Waiting): Promise<void> {
    const { mayPublish, raise, store, ingest, now } = this.#parts
    const { sessionKey, deviceId, message } = record
    // Judged again: the rules may have changed since the CONNECT. Not awaited without need: whoever ends the
    // session deletes its will next.
    const verdict = mayPublish(deviceId, message.topic)
    const allowed = typeof verdict === 'boolean' ? verdict : await verdict
    if (!allowed) {
      const detail = message.topic.slice(0, 200)
      raise({ code: 'UNAUTHORIZED_TOPIC', objectType: 'device', objectId: deviceId, detail })
      await store.deleteWill(sessionKey)
      return
    }
    const expires = expirySeconds === undefined ? {} : { expiresAt: now() + expirySeconds * 1000 }
    await ingest().accept({ ...message, ...expires }, { willOf: sessionKey, deviceId })
  }

  #delay(will: Waiting, delayMs: number): void {
    clearTimeout(will.timer)
    will.timer = setTimeout(() => this.fire(will.record.sessionKey), delayMs)
    will.timer.unref()
  }

  #forget(sessionKey: string): boolean {
    clearTimeout(this.#wills.get(sessionKey)?.timer)
    return this.#wills.delete(sessionKey)
  }
}
