/**
 * Stable codes of why the state cannot be told:
 *
 * - `REDIS_UNAVAILABLE`: no connection; `fault` says what Redis or the network answered.
 * - `STATE_MISSING`: Redis holds no such hub, not yet or not any more.
 * - `STATE_VERSION`: written by an operator of another version.
 * - `STATE_CORRUPT`: not what the schema says.
 * - `STOPPED`: the source was stopped.
 */
export type StateUnavailableCode =
  | 'REDIS_UNAVAILABLE'
  | 'STATE_MISSING'
  | 'STATE_VERSION'
  | 'STATE_CORRUPT'
  | 'STOPPED'

/** The truth about a device is not to be had at the moment: whoever asked has to be refused, not let in. */
export class StateUnavailable extends Error {
  override readonly name = 'StateUnavailable'
  readonly code: StateUnavailableCode
  readonly fault: string | undefined

  constructor(code: StateUnavailableCode, fault?: string) {
    super(`the state of the hub is not available: ${fault === undefined ? code : `${code} (${fault})`}`)
    this.code = code
    this.fault = fault
  }
}
