import { randomUUID } from 'node:crypto'
import type { Redis } from 'ioredis'
import { type Answer, type Ask, decodeAnswer, encodeAsk, MAX_OPEN_ASKS } from '../../contract/asks.ts'
import { redisFault } from '../../contract/redis-access.ts'
import { answersChannel, asksChannel, openAsksKey } from '../../contract/redis-keys.ts'
import { closeRedis, openRedis, type RedisSettingsSource, untilClosed } from '../redis/open-redis.ts'
import { Reconnecting } from '../redis/reconnecting.ts'

export interface OperatorDoorOptions {
  hubUid: string
  settings: RedisSettingsSource
  /** [0, 1). */
  random: () => number
  /** A word of `redisFault`, for a log at debug level. */
  onFault: (fault: string) => void
}

/** How long Redis may leave a command unanswered, ms. */
const TIMEOUT_MS = 2_000
/** A connection that only listens does not notice by itself that nobody is at the other end. */
const PING_EVERY_MS = 10_000

interface Connections {
  commands: Redis
  answers: Redis
}

/** Asks the operator what a broker cannot do, over Redis. Connects with the first ask, and stays connected. */
export class OperatorDoor {
  readonly #options: OperatorDoorOptions
  readonly #loop: Reconnecting
  readonly #waiting = new Map<string, (answer: Answer) => void>()
  #open: Promise<Connections>
  #opened: (connections: Connections) => void

  constructor(options: OperatorDoorOptions) {
    this.#options = options
    const { promise, resolve } = Promise.withResolvers<Connections>()
    this.#open = promise
    this.#opened = resolve
    this.#loop = new Reconnecting({
      serve: (signal, settled) => this.#serve(signal, settled),
      onFault: (error) => options.onFault(redisFault(error)),
      random: options.random,
    })
  }

  /** undefined: no answer within `timeoutMs`, for whatever reason; what was asked for may happen all the same. */
  async ask(ask: Ask, timeoutMs: number): Promise<Answer | undefined> {
    this.#loop.start()
    const id = randomUUID()
    const { promise, resolve } = Promise.withResolvers<Answer | undefined>()
    this.#waiting.set(id, resolve)
    const late = setTimeout(() => resolve(undefined), timeoutMs)
    try {
      void this.#send(id, ask).catch((error: unknown) => {
        this.#options.onFault(redisFault(error))
        resolve(undefined)
      })
      return await promise
    } finally {
      clearTimeout(late)
      this.#waiting.delete(id)
    }
  }

  async stop(): Promise<void> {
    await this.#loop.stop()
  }

  async #send(id: string, ask: Ask): Promise<void> {
    const { commands } = await this.#open
    // Nobody waits for it any more: the connection came too late.
    if (!this.#waiting.has(id)) return
    const { hubUid } = this.#options
    const entry = encodeAsk({ id, ask })
    await commands
      .multi()
      .xadd(openAsksKey(hubUid), 'MAXLEN', MAX_OPEN_ASKS, '*', ...entry)
      .publish(asksChannel(hubUid), '')
      .exec()
  }

  async #serve(signal: AbortSignal, settled: () => void): Promise<void> {
    const connections = await this.#connect(signal)
    const { commands, answers } = connections
    const close = () => {
      closeRedis(commands)
      closeRedis(answers)
    }
    signal.addEventListener('abort', close)
    const pinging = setInterval(() => void answers.ping().catch(close), PING_EVERY_MS)
    try {
      answers.on('message', (_channel: string, text: string) => this.#onAnswer(text))
      await answers.subscribe(answersChannel(this.#options.hubUid))
      settled()
      this.#opened(connections)
      await Promise.race([untilClosed(commands), untilClosed(answers)])
    } finally {
      const { promise, resolve } = Promise.withResolvers<Connections>()
      this.#open = promise
      this.#opened = resolve
      clearInterval(pinging)
      signal.removeEventListener('abort', close)
      close()
    }
  }

  async #connect(signal: AbortSignal): Promise<Connections> {
    const { settings } = this.#options
    const open = () => openRedis({ settings, name: 'hublet-asks', timeoutMs: TIMEOUT_MS, signal })
    const commands = await open()
    const answers = await open().catch((error: unknown) => {
      closeRedis(commands)
      throw error
    })
    return { commands, answers }
  }

  #onAnswer(text: string): void {
    const answer = decodeAnswer(text)
    if (answer !== undefined) this.#waiting.get(answer.id)?.(answer)
  }
}
