import { connectionFailure } from '../connection-failure.ts'
import { permanent, type SinkFailure, throttled, transient, unavailable } from '../sink.ts'

/** About this very message or batch. */
const REFUSED = new Set([
  'MESSAGE_TOO_LARGE',
  'RECORD_LIST_TOO_LARGE',
  'INVALID_RECORD',
  'INVALID_TIMESTAMP',
  'INVALID_TOPIC_EXCEPTION',
])
const DENIED = new Set(['TOPIC_AUTHORIZATION_FAILED', 'CLUSTER_AUTHORIZATION_FAILED'])
const UNKNOWN_TOPIC = 'UNKNOWN_TOPIC_OR_PARTITION'

/**
 * What went wrong with messages or a connection. `isPerTopic`: the message says which Kafka topic it is for, so one
 * that is missing or denied says nothing about the others.
 */
export function kafkaFailure(error: unknown, isPerTopic: boolean): SinkFailure {
  const causes = leaves(error)
  const find = (code: string) => causes.find((cause) => 'code' in cause && cause.code === `PLT_KFK_${code}`)
  if (find('AUTHENTICATION') !== undefined)
    return unavailable({ code: 'AUTHENTICATION_FAILED', message: 'the broker refuses the credentials' })
  const answer = find('PROTOCOL')
  if (answer !== undefined && 'apiId' in answer) return refused(String(answer.apiId), isPerTopic)
  const fault = find('USER')
  if (fault?.message.startsWith('Unknown topic') === true) return refused(UNKNOWN_TOPIC, isPerTopic)
  if (fault?.message.includes('TLS') === true)
    return unavailable({ code: 'TLS_FAILED', message: fault.message })
  for (const cause of causes) {
    const failure = connectionFailure(cause)
    if (failure !== undefined) return failure
  }
  if (find('TIMEOUT') !== undefined)
    return unavailable({ code: 'TIMEOUT', message: 'no answer of the broker in time' })
  const { message = '' } = (causes.at(-1) ?? {}) as Partial<Error>
  return unavailable({ code: 'CONNECTION_FAILED', message })
}

function refused(answer: string, isPerTopic: boolean): SinkFailure {
  const ofTopic = isPerTopic ? transient : unavailable
  if (answer === UNKNOWN_TOPIC) return ofTopic({ code: 'KAFKA_NO_TOPIC', message: 'there is no such topic' })
  if (DENIED.has(answer))
    return ofTopic({ code: 'PERMISSION_DENIED', message: `the broker answered ${answer}` })
  const details = { code: `KAFKA_${answer}`, message: `the broker answered ${answer}` }
  if (REFUSED.has(answer)) return permanent(details)
  return answer === 'THROTTLING_QUOTA_EXCEEDED' ? throttled(details) : unavailable(details)
}

/** The client wraps errors in errors, several at a time: all of them, the outer before the inner. */
function leaves(error: unknown): Error[] {
  if (!(error instanceof Error)) return []
  const inner = error instanceof AggregateError ? error.errors : []
  return [error, ...inner.flatMap(leaves), ...(error.cause === undefined ? [] : leaves(error.cause))]
}
