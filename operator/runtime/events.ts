/**
 * Kubernetes Events (events.k8s.io/v1): what `kubectl describe` shows under an object. The same event again adds to
 * a series, an object that raises too many is cut off, and nothing here ever holds up or fails a reconcile.
 */
import { randomBytes } from 'node:crypto'
import type { Logger } from 'pino'
import { type Clock, pause } from '../../contract/clock.ts'
import type { ApiClient } from './api-client.ts'
import { isConflict, isNotFound } from './api-error.ts'
import { BoundedMap } from './bounded-map.ts'
import { type KubeObject, objectKey, objectPath, type Resource, resourcePath, splitKey } from './resource.ts'

export interface EventText {
  type: 'Normal' | 'Warning'
  /** Stable, CamelCase: what programs match on. */
  reason: string
  /** What was done or tried, CamelCase, e.g. `Issue`. */
  action: string
  /** For people; never a secret. Cut after 1,024 characters. */
  note: string
}

/** What reconcilers ask of a recorder. */
export interface EventSink {
  /** Takes note and returns at once. */
  event(regarding: KubeObject, text: EventText): void
}

export interface EventRecorderOptions {
  /** Guarded, as for every write. */
  client: ApiClient
  clock: Clock
  logger: Logger
  /** Qualified name, e.g. `example.dev/operator`. */
  controller: string
  /** This process. */
  instance: string
  /** ms within which the same event counts as one of a series. Default 360,000. */
  seriesMs?: number
  /** ms between two writes of one series' count. Default 60,000. */
  flushMs?: number
  /** Events of one object at once; default 25. Then one more every `refillMs` (default 300,000). */
  burst?: number
  refillMs?: number
}

interface Series {
  resourceKey: string
  body: Record<string, unknown>
  count: number
  /** Count that the API server knows; 0: not created yet. */
  sent: number
  lastAt: number
  lastSentAt: number
}

interface Bucket {
  left: number
  at: number
}

const EVENTS: Resource = { apiVersion: 'events.k8s.io/v1', kind: 'Event', plural: 'events', namespaced: true }
const MAX_SERIES = 4_096
const MAX_OUTBOX = 1_000
const ATTEMPTS = 3
const RETRY_MS = 1_000
const MAX_NOTE = 1_024
/** Longest name an object may have, less the dot and the 16 digits that make an event's name unique. */
const MAX_NAME = 253 - 17

export class EventRecorder implements EventSink {
  readonly #options: Required<EventRecorderOptions>
  readonly #series = new BoundedMap<string, Series>(MAX_SERIES)
  readonly #buckets = new BoundedMap<string, Bucket>(MAX_SERIES)
  readonly #outbox = new Set<Series>()
  readonly #stop = new AbortController()
  #sending: Promise<void> | undefined
  #draining = false
  #writing: Series | undefined
  #cancelFlush: (() => void) | undefined
  #dropped = 0

  constructor(options: EventRecorderOptions) {
    this.#options = { seriesMs: 360_000, flushMs: 60_000, burst: 25, refillMs: 300_000, ...options }
  }

  /** Events that were not written: too many of one object, or of all, or the API server did not take them. */
  get dropped(): number {
    return this.#dropped
  }

  event(regarding: KubeObject, text: EventText): void {
    if (this.#stop.signal.aborted) return
    const now = this.#options.clock.monotonic()
    const { uid = '' } = regarding.metadata
    const key = JSON.stringify([uid, text.type, text.reason, text.action, text.note])
    const known = this.#series.get(key)
    if (known && now - known.lastAt < this.#options.seriesMs) {
      known.count += 1
      known.lastAt = now
      this.#sendWhenDue(known)
      return
    }
    if (!this.#take(uid, now)) {
      this.#dropped += 1
      return
    }
    const series = this.#begin(regarding, text, now)
    this.#series.set(key, series)
    this.#send(series)
  }

  /** Resolves when everything noted so far was written or given up. */
  async flush(): Promise<void> {
    for (const series of this.#series.values()) {
      if (series.count > series.sent && series !== this.#writing) this.#send(series)
    }
    await this.#sending
  }

  /** Writes nothing more; what waits is dropped. Call `flush` first to keep it. */
  async stop(): Promise<void> {
    this.#stop.abort(new Error('event recorder was stopped'))
    this.#cancelFlush?.()
    await this.#sending
  }

  #begin(regarding: KubeObject, text: EventText, now: number): Series {
    const { controller, instance, clock } = this.#options
    const { name = '', namespace, uid, resourceVersion } = regarding.metadata
    const eventName = `${name.slice(0, MAX_NAME)}.${randomBytes(8).toString('hex')}`
    // Events of what has no namespace live in `default`, as the API demands.
    const eventNamespace = namespace ?? 'default'
    const { apiVersion, kind } = regarding
    const body = {
      apiVersion: EVENTS.apiVersion,
      kind: EVENTS.kind,
      metadata: { name: eventName, namespace: eventNamespace },
      eventTime: microTime(clock.now()),
      reportingController: controller,
      reportingInstance: instance.slice(0, 128),
      type: text.type,
      reason: text.reason,
      action: text.action,
      note: text.note.slice(0, MAX_NOTE),
      regarding: { apiVersion, kind, name, namespace, uid, resourceVersion },
    }
    const resourceKey = objectKey(eventNamespace, eventName)
    return { resourceKey, body, count: 1, sent: 0, lastAt: now, lastSentAt: now }
  }

  /** One token of the object's bucket. */
  #take(uid: string, now: number): boolean {
    const { burst, refillMs } = this.#options
    const bucket = this.#buckets.get(uid) ?? { left: burst, at: now }
    const refilled = Math.floor((now - bucket.at) / refillMs)
    const left = Math.min(burst, bucket.left + refilled)
    this.#buckets.set(uid, { left: Math.max(0, left - 1), at: bucket.at + refilled * refillMs })
    return left > 0
  }

  #sendWhenDue(series: Series): void {
    const { clock, flushMs } = this.#options
    // The second time is told at once: "it happens again" is news, "for the 57th time" can wait.
    if (series.sent <= 1 || clock.monotonic() - series.lastSentAt >= flushMs) {
      this.#send(series)
      return
    }
    this.#cancelFlush ??= clock.after(flushMs, () => {
      this.#cancelFlush = undefined
      void this.flush()
    })
  }

  #send(series: Series): void {
    if (this.#outbox.size >= MAX_OUTBOX && !this.#outbox.has(series)) {
      this.#dropped += 1
      return
    }
    this.#outbox.add(series)
    if (this.#draining) return
    this.#draining = true
    this.#sending = this.#drain()
  }

  /** One at a time: events must not compete with reconciles for the API server. */
  async #drain(): Promise<void> {
    for (const series of this.#outbox) {
      this.#outbox.delete(series)
      if (this.#stop.signal.aborted) break
      this.#writing = series
      await this.#write(series)
      this.#writing = undefined
    }
    this.#draining = false
  }

  async #write(series: Series): Promise<void> {
    const { clock } = this.#options
    const { signal } = this.#stop
    for (let attempt = 1; attempt <= ATTEMPTS && !signal.aborted; attempt += 1) {
      if (await this.#tryWrite(series, attempt)) {
        series.lastSentAt = clock.monotonic()
        if (series.count > series.sent) this.#sendWhenDue(series)
        return
      }
      if (attempt < ATTEMPTS) await pause(clock, RETRY_MS * attempt, signal)
    }
    this.#dropped += 1
  }

  async #tryWrite(series: Series, attempt: number): Promise<boolean> {
    const { count } = series
    try {
      if (series.sent === 0) await this.#create(series)
      else await this.#update(series, count)
      series.sent = series.sent === 0 ? 1 : count
      return true
    } catch (error) {
      // The API server forgets events after an hour: the series begins anew.
      if (isNotFound(error) && series.sent > 0) series.sent = 0
      this.#options.logger.debug({ err: error, attempt, event: series.resourceKey }, 'event was not written')
      return false
    }
  }

  async #create({ resourceKey, body }: Series): Promise<void> {
    const path = resourcePath(EVENTS, splitKey(resourceKey).namespace)
    try {
      await this.#options.client.request({ method: 'POST', path, body, signal: this.#stop.signal })
    } catch (error) {
      // A first try was stored although its answer was lost.
      if (!isConflict(error)) throw error
    }
  }

  async #update({ resourceKey, lastAt }: Series, count: number): Promise<void> {
    const { client, clock } = this.#options
    const at = clock.now() - (clock.monotonic() - lastAt)
    await client.request({
      method: 'PATCH',
      path: objectPath(EVENTS, resourceKey),
      contentType: 'application/merge-patch+json',
      body: { series: { count, lastObservedTime: microTime(at) } },
      signal: this.#stop.signal,
    })
  }
}

const microTime = (ms: number): string => new Date(ms).toISOString().replace('Z', '000Z')
