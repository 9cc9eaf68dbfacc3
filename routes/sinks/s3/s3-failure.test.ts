import { describe, expect, it } from 'vitest'
import { s3Failure } from './s3-failure.ts'

describe('a failure of S3', () => {
  it('names bucket, HTTP status, the code of S3 and the request', () => {
    const fault = { bucket: 'my-archive', status: 404, code: 'NoSuchBucket', requestId: '4442587FB7D0A2F9' }
    expect(s3Failure(fault)).toEqual({
      ok: false,
      kind: 'Transient',
      scope: 'Sink',
      code: 'S3_WRITE_FAILED',
      message: 'writing to bucket my-archive failed: 404 NoSuchBucket, request 4442587FB7D0A2F9',
    })
  })

  it('shows no text that a service puts where its code should be', () => {
    const { message } = s3Failure({ bucket: 'b', status: 500, code: 'key a/b is bad', requestId: undefined })
    expect(message).toBe('writing to bucket b failed: 500 Unknown')
  })

  it.each([
    [403, 'SignatureDoesNotMatch', 'Transient', 'Sink'],
    [301, 'PermanentRedirect', 'Transient', 'Sink'],
    [503, 'ServiceUnavailable', 'Transient', 'Sink'],
    [503, 'SlowDown', 'Throttled', 'Sink'],
    [429, 'TooManyRequests', 'Throttled', 'Sink'],
    [500, 'InternalError', 'Transient', 'Message'],
    [400, 'EntityTooLarge', 'Permanent', 'Message'],
    [400, 'KeyTooLongError', 'Permanent', 'Message'],
  ])('%i %s is %s of the %s', (status, code, kind, scope) => {
    expect(s3Failure({ bucket: 'b', status, code, requestId: undefined })).toMatchObject({ kind, scope })
  })
})
