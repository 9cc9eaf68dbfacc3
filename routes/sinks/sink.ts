/**
 * A destination of a route. What goes wrong comes back as a value that says how to go on; an exception is a
 * fault of ours. One contract suite (`sink.contract.ts`) holds every sink to this page.
 */
import type { RouteEntry } from '../../contract/route-stream.ts'

/**
 * - `Transient`: the same may work later.
 * - `Permanent`: the same will fail again, so the message becomes a dead letter at once.
 * - `Throttled`: the destination asks for less; nothing at all is sent to it for a while.
 */
export type FailureKind = 'Transient' | 'Permanent' | 'Throttled'

export interface SinkFailure {
  ok: false
  kind: FailureKind
  /**
   * `Sink`: nothing to do with this message (unreachable, refused credentials, a table that is missing): all
   * messages wait and none of them loses an attempt. `Message`: may be about this very message.
   */
  scope: 'Message' | 'Sink'
  /** A stable word for programs. */
  code: string
  /** For people, at most `MAX_FAILURE_MESSAGE` characters; no payload, no secret. */
  message: string
  /** What the destination asked for, ms. */
  retryAfterMs?: number
}

/** `note`: delivered, and yet something that somebody should know, in the words of a failure. */
export type SinkResult = { ok: true; note?: Pick<SinkFailure, 'code' | 'message'> } | SinkFailure

export interface BatchBounds {
  maxMessages: number
  /** Of payload. One larger message is a batch of its own. */
  maxBytes: number
  /** How long a message may wait for others, ms; 0: goes with what is there. */
  lingerMs: number
}

export interface Sink {
  /** Calls at a time that make sense, when fewer than the route would make. */
  readonly parallel?: number
  /** Delivers one message. Gives up soon after `signal` aborts; what it resolves to then has no meaning. */
  deliver(entry: RouteEntry, signal: AbortSignal): Promise<SinkResult>
  /** Both or neither: delivers all of them, in order, or (as far as it can tell) none. */
  readonly batch?: BatchBounds
  deliverMany?(entries: readonly RouteEntry[], signal: AbortSignal): Promise<SinkResult>
  /** Ends every connection; deliveries under way fail. */
  close(): Promise<void>
}

export const DELIVERED: SinkResult = { ok: true }

/** That of `status.lastError.message`. */
export const MAX_FAILURE_MESSAGE = 1024

type FailureDetails = Pick<SinkFailure, 'code' | 'message'> & { retryAfterMs?: number | undefined }

const failure = (
  kind: FailureKind,
  scope: SinkFailure['scope'],
  { code, message, retryAfterMs }: FailureDetails,
): SinkFailure => ({
  ok: false,
  kind,
  scope,
  code,
  message: oneLine(message),
  ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
})

/** This message failed this time. */
export const transient = (details: FailureDetails): SinkFailure => failure('Transient', 'Message', details)
/** This message will never do. */
export const permanent = (details: FailureDetails): SinkFailure => failure('Permanent', 'Message', details)
/** No message will do until something changes at the destination or in the route. */
export const unavailable = (details: FailureDetails): SinkFailure => failure('Transient', 'Sink', details)
/** The destination wants less. */
export const throttled = (details: FailureDetails): SinkFailure => failure('Throttled', 'Sink', details)

/** Texts of servers end up in a status, a terminal and a log: no line breaks, no control characters, bounded. */
function oneLine(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
  const clean = text.replace(/[\u0000-\u001f\u007f-\u009f]+/g, ' ').trim()
  return clean.length <= MAX_FAILURE_MESSAGE ? clean : `${clean.slice(0, MAX_FAILURE_MESSAGE - 1)}…`
}
