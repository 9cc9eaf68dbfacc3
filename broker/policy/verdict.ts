import type { EventCode } from '../../contract/hub-event.ts'

/** A refusal is a value with a stable code, never an exception. */
export interface Denied {
  allowed: false
  code: EventCode
  /** Fills the `%s` of the event's text; identifiers only, never a payload or a secret. */
  detail?: string
}

export type Verdict<T = undefined> = { allowed: true; value: T } | Denied

export const allow = <T>(value: T): Verdict<T> => ({ allowed: true, value })
export const ALLOWED: Verdict = { allowed: true, value: undefined }
export const deny = (code: EventCode, detail?: string): Denied =>
  detail === undefined ? { allowed: false, code } : { allowed: false, code, detail }
