import { JetStreamApiError } from '@nats-io/jetstream'
import { errors } from '@nats-io/transport-node'
import { connectionFailure } from '../connection-failure.ts'
import { permanent, type SinkFailure, throttled, transient, unavailable } from '../sink.ts'

/** Of nats-server, `server/errors.json`: the stream has no room, and will have some. */
const FULL = new Set([10023, 10047, 10077, 10110, 10122, 10167])
const TOO_LARGE = 10054

/** What went wrong with a message or a connection. Texts of the server name streams, subjects and limits only. */
export function natsFailure(error: unknown, stream: string | undefined): SinkFailure {
  const { message = '', code } = error as { message?: string; code?: unknown }
  if (error instanceof JetStreamApiError) return refused(error)
  if (isUnanswered(error)) {
    const which = stream === undefined ? 'no stream' : `neither the stream ${stream} nor another`
    return unavailable({ code: 'NATS_NO_STREAM', message: `${which} takes the subject of the message` })
  }
  if (error instanceof errors.AuthorizationError || error instanceof errors.UserAuthenticationExpiredError)
    return unavailable({ code: 'AUTHENTICATION_FAILED', message })
  if (isDenied(error)) return unavailable({ code: 'PERMISSION_DENIED', message })
  const broken = connectionFailure(error)
  if (broken !== undefined) return broken
  if (error instanceof errors.TimeoutError)
    return transient({ code: 'TIMEOUT', message: 'no answer of the NATS server in time' })
  return unavailable({ code: 'CONNECTION_FAILED', message: message === '' ? String(code) : message })
}

function refused(error: JetStreamApiError): SinkFailure {
  const details = { code: `NATS_${error.code}`, message: `the stream answered: ${error.message}` }
  if (FULL.has(error.code)) return throttled(details)
  return error.code === TOO_LARGE ? permanent(details) : unavailable(details)
}

/** Nobody listens where the stream should: the client wraps that in an error about JetStream that it keeps to itself. */
const isUnanswered = (error: unknown): boolean =>
  error instanceof Error && error.cause instanceof errors.RequestError && error.cause.isNoResponders()

const isDenied = (error: unknown): boolean =>
  error instanceof errors.PermissionViolationError ||
  (error instanceof Error && error.cause !== undefined && isDenied(error.cause))
