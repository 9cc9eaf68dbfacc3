import { permanent, type SinkFailure, throttled, transient, unavailable } from '../sink.ts'

export interface S3Fault {
  bucket: string
  status: number
  /** S3's word, such as NoSuchBucket. */
  code: string
  requestId: string | undefined
}

/** About this object only. */
const OF_THE_OBJECT = new Set([
  'EntityTooLarge',
  'KeyTooLongError',
  'InvalidArgument',
  'MetadataTooLarge',
  'InvalidURI',
])
const SLOW_DOWN = new Set(['SlowDown', 'RequestLimitExceeded', 'ThrottlingException', 'TooManyRequests'])

/** What an answer of S3 means; its own text may name keys, so only the words for programs are shown. */
export function s3Failure({ bucket, status, code, requestId }: S3Fault): SinkFailure {
  const word = /^[A-Za-z0-9]{1,64}$/.test(code) ? code : 'Unknown'
  const request = requestId === undefined ? '' : `, request ${requestId.slice(0, 64)}`
  const details = {
    code: 'S3_WRITE_FAILED',
    message: `writing to bucket ${bucket} failed: ${status} ${word}${request}`,
  }
  if (status === 429 || SLOW_DOWN.has(word)) return throttled(details)
  if (OF_THE_OBJECT.has(word)) return permanent(details)
  // 503 of S3 is about load, 501 about a feature that the service lacks.
  if (status === 501 || status === 503) return unavailable(details)
  if (status === 408 || status === 409 || status >= 500) return transient(details)
  // Redirects to another region, wrong credentials, no bucket, a clock that is off: the same for every object.
  return unavailable(details)
}
