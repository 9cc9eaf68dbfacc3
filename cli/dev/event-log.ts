import type { Logger } from 'pino'
import { type TokenBucket, takeTokens, tokenBucket } from '../../broker/policy/rate.ts'
import { EVENT_CODES, eventMessage, type HubEvent } from '../../contract/hub-event.ts'

/** Beyond it a flood of refusals would take the terminal, and the time to write it, from everything else. */
const LINES_PER_SECOND = 20
const BURST = 100
const SUMMARY_AFTER_MS = 1_000

export interface EventLogOptions {
  /** ms, monotone. */
  now: () => number
  /** Name of the object, for people; undefined: not known. */
  nameOf: (event: HubEvent) => string | undefined
}

/** Writes the events of one hub to the log, bounded in rate; what is left out is counted and told. */
export class EventLog {
  readonly #logger: Logger
  readonly #options: EventLogOptions
  readonly #bucket: TokenBucket
  #suppressed = 0
  #summary: NodeJS.Timeout | undefined

  constructor(logger: Logger, options: EventLogOptions) {
    this.#logger = logger
    this.#options = options
    this.#bucket = tokenBucket(LINES_PER_SECOND, options.now(), BURST)
  }

  write(event: HubEvent): void {
    if (takeTokens(this.#bucket, this.#options.now()) > 0) {
      this.#suppressed += 1
      this.#summary ??= setTimeout(() => this.#summarise(), SUMMARY_AFTER_MS)
      this.#summary.unref()
      return
    }
    const { code, objectType, objectId, packet, extra } = event
    const name = this.#options.nameOf(event)
    const fields = {
      code,
      ...(name === undefined ? {} : { [objectType]: name }),
      objectId,
      ...extra,
      ...(packet === undefined ? {} : { packet }),
    }
    this.#logger[EVENT_CODES[code].severity](fields, eventMessage(event))
  }

  /** Tells what has not been told yet. */
  close(): void {
    clearTimeout(this.#summary)
    this.#summarise()
  }

  #summarise(): void {
    this.#summary = undefined
    if (this.#suppressed > 0)
      this.#logger.warn({ suppressed: this.#suppressed }, 'events are not shown one by one')
    this.#suppressed = 0
  }
}
