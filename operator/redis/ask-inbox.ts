import type { Redis } from 'ioredis'
import { type Answer, ASK_EXPIRES_MS, decodeAsk, encodeAnswer } from '../../contract/asks.ts'
import { redisFault } from '../../contract/redis-access.ts'
import { answersChannel, asksChannel, openAsksKey } from '../../contract/redis-keys.ts'
import type { ReceivedAsk } from '../reconcile/ports.ts'
import { HubStateError } from './hub-state-error.ts'

export interface AskInboxOptions {
  /** For commands; its owner connects and closes it. */
  redis: Redis
  /** Makes the connection that only listens, connecting by itself. */
  listen: () => Redis
  /** There may be something new for the hub. */
  onAsk: (hubUid: string) => void
}

/** The asks of the hubs on one Redis. Rejects with `HubStateError`. */
export class AskInbox {
  readonly #options: AskInboxOptions
  readonly #hubs = new Map<string, string>()
  #listener: Redis | undefined

  constructor(options: AskInboxOptions) {
    this.#options = options
  }

  /** Hears of every ask of the hub from now on; what came before is found by `read`. */
  follow(hubUid: string): void {
    const channel = asksChannel(hubUid)
    if (this.#hubs.has(channel)) return
    this.#hubs.set(channel, hubUid)
    this.#listener ??= this.#open()
    if (this.#listener.status === 'ready') this.#subscribe(this.#listener, [channel])
  }

  leave(hubUid: string): void {
    const channel = asksChannel(hubUid)
    if (this.#hubs.delete(channel)) this.#listener?.unsubscribe(channel).catch(() => undefined)
  }

  /** The oldest asks first. Those that nobody can wait for any more are dropped. */
  async read(hubUid: string, count: number): Promise<ReceivedAsk[]> {
    const key = openAsksKey(hubUid)
    return await this.#guard(hubUid, async () => {
      const { redis } = this.#options
      const [seconds] = await redis.time()
      const entries = await redis.xrange(key, '-', '+', 'COUNT', count)
      const expired = Number(seconds) * 1000 - ASK_EXPIRES_MS
      const asks: ReceivedAsk[] = []
      const dropped: string[] = []
      for (const [entry, fields] of entries) {
        const open = Number(entry.split('-')[0]) < expired ? undefined : decodeAsk(fields)
        if (open === undefined) dropped.push(entry)
        else asks.push({ entry, ...open })
      }
      if (dropped.length > 0) await redis.xdel(key, ...dropped)
      return asks
    })
  }

  /** An ask is gone from the stream once it is answered. */
  async answer(hubUid: string, entry: string, answer: Answer): Promise<void> {
    await this.#guard(hubUid, () =>
      this.#options.redis
        .multi()
        .xdel(openAsksKey(hubUid), entry)
        .publish(answersChannel(hubUid), encodeAnswer(answer))
        .exec(),
    )
  }

  close(): void {
    this.#listener?.disconnect()
  }

  #open(): Redis {
    const listener = this.#options.listen()
    listener.on('message', (channel: string) => {
      const hub = this.#hubs.get(channel)
      if (hub !== undefined) this.#options.onAsk(hub)
    })
    listener.on('ready', () => {
      this.#subscribe(listener, [...this.#hubs.keys()])
      // What was said while nobody listened.
      for (const hub of this.#hubs.values()) this.#options.onAsk(hub)
    })
    listener.connect().catch(() => undefined)
    return listener
  }

  /** A connection that breaks meanwhile does it anew when it is ready again. */
  #subscribe(listener: Redis, channels: readonly string[]): void {
    if (channels.length > 0) listener.subscribe(...channels).catch(() => undefined)
  }

  async #guard<T>(hubUid: string, run: () => Promise<T>): Promise<T> {
    try {
      return await run()
    } catch (error) {
      const fault = redisFault(error)
      throw new HubStateError('REDIS_UNAVAILABLE', `hub ${hubUid}: Redis failed with ${fault}`, fault)
    }
  }
}
