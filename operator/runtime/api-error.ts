import type { ApiStatus } from './resource.ts'

/** The API server answered, and said no. Match on `status` and `reason`, never on the text. */
export class ApiError extends Error {
  override readonly name = 'ApiError'
  /** HTTP status, or the `code` of a Status that came inside a watch. */
  readonly status: number
  /** The API's own reason, e.g. `AlreadyExists`, `Conflict`, `Expired`; empty when the body had none. */
  readonly reason: string
  /** What the server asked for by `Retry-After`, in ms. */
  readonly retryAfterMs: number | undefined
  /** Not a field: a logger would print the whole answer for each failure. */
  readonly #body: ApiStatus | undefined

  constructor(what: string, status: number, body?: ApiStatus, retryAfterMs?: number) {
    super(`${what}: ${status} ${body?.reason ?? ''}${body?.message ? `: ${body.message}` : ''}`.trimEnd())
    this.status = status
    this.reason = body?.reason ?? ''
    this.#body = body
    this.retryAfterMs = retryAfterMs
  }

  /** What the server has against which field. */
  get causes(): ReadonlyArray<{ field?: string; message?: string; reason?: string }> {
    return this.#body?.details?.causes ?? []
  }
}

/** No answer came: connection refused or cut, a time-out, a body that is not what it should be. */
export class TransportError extends Error {
  override readonly name = 'TransportError'
  /** Stable: `ECONNREFUSED` and the like from the system, or `TIMEOUT`, `STALLED`, `BAD_BODY`, `TOO_LARGE`. */
  readonly code: string

  constructor(code: string, message: string, cause?: unknown) {
    super(`${message}: ${code}`, cause === undefined ? {} : { cause })
    this.code = code
  }
}

const hasStatus = (error: unknown, status: number): boolean =>
  error instanceof ApiError && error.status === status

export const isNotFound = (error: unknown): boolean => hasStatus(error, 404)
/** Another writer was first, or the object is not the one we meant (resourceVersion or uid). */
export const isConflict = (error: unknown): boolean => hasStatus(error, 409) || isOfAnotherUid(error)
/** The resource version or continue token is older than what the server still knows. */
export const isExpired = (error: unknown): boolean => hasStatus(error, 410)
/** The object itself is refused (schema, CEL, immutable field): trying again changes nothing. */
export const isInvalid = (error: unknown): boolean => hasStatus(error, 422) && !isOfAnotherUid(error)

/** An apply that names a uid is refused as a conflict when the object is gone, but as invalid when another took its name. */
function isOfAnotherUid(error: unknown): boolean {
  if (!(error instanceof ApiError) || error.status !== 422) return false
  return error.causes.length > 0 && error.causes.every(({ field }) => field === 'metadata.uid')
}
