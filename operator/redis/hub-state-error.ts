/**
 * Stable codes of what keeps a hub's state from being written:
 *
 * - `REDIS_UNAVAILABLE`: Redis did not answer or refused; `fault` says how. Try again later. What was under way
 *   may or may not have been written: the next write finds out.
 * - `HUB_STATE_TOO_NEW`: a later operator has written there, and this one would destroy what it does not know.
 * - `HUB_STATE_CONFLICT`: somebody else keeps writing to the same hub.
 * - `NOT_LEADER`: this process may not write any more.
 */
export type HubStateErrorCode =
  | 'REDIS_UNAVAILABLE'
  | 'HUB_STATE_TOO_NEW'
  | 'HUB_STATE_CONFLICT'
  | 'NOT_LEADER'

/** The message names the hub, never a record, an argument of a command or a password; there is no `cause`. */
export class HubStateError extends Error {
  override readonly name = 'HubStateError'
  readonly code: HubStateErrorCode
  /** The word of `redisFault`, when Redis is at fault. */
  readonly fault: string | undefined

  constructor(code: HubStateErrorCode, message: string, fault?: string) {
    super(message)
    this.code = code
    this.fault = fault
  }
}
