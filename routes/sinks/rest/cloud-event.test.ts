import { CloudEvent, HTTP } from 'cloudevents'
import { describe, expect, it } from 'vitest'
import { makeEntry } from '../sink.contract.ts'
import { type CloudEventFormat, cloudEvent } from './cloud-event.ts'

const FORMAT = { type: 'dev.hublet.message', source: '/hubs/home' }

/** As the official SDK reads it, which checks it too. */
function received(entry: ReturnType<typeof makeEntry>, mode: CloudEventFormat['mode']) {
  const { headers, body } = cloudEvent(entry, { ...FORMAT, mode })
  const lower = Object.fromEntries(
    Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]),
  )
  const event = HTTP.toEvent({ headers: lower, body: mode === 'Binary' ? body : body.toString() })
  if (!(event instanceof CloudEvent)) throw new Error('one event was expected')
  event.validate()
  return event
}

describe.each(['Binary', 'Structured'] as const)('a CloudEvent in %s mode', (mode) => {
  it('has id, topic and time of the message', () => {
    const entry = makeEntry('sensors/attic', '{"t":21}', { deviceId: 'me' })
    expect(received(entry, mode)).toMatchObject({
      specversion: '1.0',
      id: entry.id,
      source: '/hubs/home',
      type: 'dev.hublet.message',
      subject: 'sensors/attic',
      time: new Date(entry.time).toISOString(),
      deviceid: 'me',
      traceparent: expect.stringMatching(/^00-/),
    })
  })

  it.each([
    ['JSON', '{"t":21}', undefined, 'application/json'],
    ['text', 'warm', undefined, 'text/plain; charset=utf-8'],
    ['bytes', Buffer.from([0xff, 0x00]), undefined, 'application/octet-stream'],
    ['nothing', '', undefined, 'text/plain; charset=utf-8'],
    ['what the device says that it is', '<a/>', 'application/xml', 'application/xml'],
    ['JSON by another name', '{"a":1}', 'application/senml+json', 'application/senml+json'],
  ])('says of %s what it is', (_, payload, contentType, expected) => {
    const more = contentType === undefined ? {} : { contentType }
    expect(received(makeEntry('a', payload, more), mode).datacontenttype).toBe(expected)
  })
})

describe('the data of a structured CloudEvent', () => {
  const bodyOf = (payload: string | Buffer, contentType?: string) => {
    const entry = makeEntry('a', payload, contentType === undefined ? {} : { contentType })
    return cloudEvent(entry, { ...FORMAT, mode: 'Structured' }).body.toString()
  }

  it.each([
    ['JSON as it was written', '{"n": 12345678901234567890}', '"data":{"n": 12345678901234567890}}'],
    ['text as a string', 'a "b"', '"data":"a \\"b\\""}'],
    ['bytes as base64', Buffer.from([0xff]), '"data_base64":"/w=="}'],
  ])('is %s', (_, payload, expected) => {
    expect(bodyOf(payload)).toContain(expected)
  })

  it('is left out where there is none', () => {
    const members = Object.keys(JSON.parse(bodyOf('')))
    expect(members.filter((name) => ['data', 'data_base64'].includes(name))).toEqual([])
  })

  it('that only claims to be JSON goes as base64', () => {
    expect(bodyOf('{"t":', 'application/json')).toContain('"data_base64":"eyJ0Ijo="')
  })
})

it('Headers of a binary CloudEvent hold any topic, percent-encoded', () => {
  const { headers } = cloudEvent(makeEntry('größe/50% "a b"', 'x', { contentType: 'a\r\nEvil: 1' }), {
    ...FORMAT,
    mode: 'Binary',
  })
  expect(headers['ce-subject']).toBe('gr%C3%B6%C3%9Fe/50%25%20%22a%20b%22')
  expect(headers['Content-Type']).toBe('a%0D%0AEvil: 1')
})
