import { describe, expect, it } from 'vitest'
import { aHub } from './records.fixture.ts'
import {
  judgePublish,
  judgeSession,
  judgeSubscribe,
  type PublishFacts,
  type SessionFacts,
} from './service-level.ts'
import { type Denied, deny } from './verdict.ts'

const full = aHub({ limits: { payloadBytes: 100 } })
const modest = aHub({
  limits: { payloadBytes: 100 },
  messaging: { retained: false, maxQoS: 1, persistentSessions: false },
})

describe('judgePublish', () => {
  type Row = [hub: typeof full, publish: Partial<PublishFacts>, expected: 'Allowed' | Denied]
  const rows: Record<string, Row> = {
    'a full hub takes retained messages at QoS 2': [full, { retain: true, qos: 2 }, 'Allowed'],
    'a payload may be as large as the limit': [full, { payloadBytes: 100 }, 'Allowed'],
    'a payload one byte larger is refused with both sizes': [
      full,
      { payloadBytes: 101 },
      deny('PAYLOAD_TOO_LARGE', '101 bytes, at most 100'),
    ],
    'a modest hub takes plain messages up to its QoS': [modest, { qos: 1 }, 'Allowed'],
    'a modest hub refuses a higher QoS': [modest, { qos: 2 }, deny('PUBLISH_QOS_FORBIDDEN', '2')],
    'a modest hub refuses retained messages': [modest, { retain: true }, deny('RETAINED_FORBIDDEN')],
    'a modest hub refuses the removal of a retained message as well': [
      modest,
      { retain: true, payloadBytes: 0 },
      deny('RETAINED_FORBIDDEN'),
    ],
    'the size is told first, since it closes the link': [
      modest,
      { retain: true, qos: 2, payloadBytes: 101 },
      deny('PAYLOAD_TOO_LARGE', '101 bytes, at most 100'),
    ],
  }
  it.each(Object.entries(rows))('%s', (_, [hub, publish, expected]) => {
    const verdict = judgePublish(hub, { qos: 0, retain: false, payloadBytes: 1, ...publish })
    expect(verdict.allowed ? 'Allowed' : verdict).toEqual(expected)
  })
})

describe('judgeSubscribe', () => {
  it('grants the QoS that was asked for where the hub has it', () => {
    for (const version of [3, 4, 5] as const) {
      for (const qos of [0, 1, 2] as const) {
        expect(judgeSubscribe(full, qos, version)).toEqual({ allowed: true, value: qos })
      }
      expect(judgeSubscribe(modest, 1, version)).toEqual({ allowed: true, value: 1 })
    }
  })

  it('refuses a higher one to clients before MQTT 5', () => {
    expect(judgeSubscribe(modest, 2, 3)).toEqual(deny('SUBSCRIBE_QOS_FORBIDDEN', '2'))
    expect(judgeSubscribe(modest, 2, 4)).toEqual(deny('SUBSCRIBE_QOS_FORBIDDEN', '2'))
  })

  it('lowers it for MQTT 5, which forbids to refuse', () => {
    expect(judgeSubscribe(modest, 2, 5)).toEqual({ allowed: true, value: 1 })
    expect(judgeSubscribe(aHub({ messaging: { maxQoS: 0 } }), 2, 5)).toEqual({ allowed: true, value: 0 })
  })
})

describe('judgeSession', () => {
  type Row = [hub: typeof full, session: SessionFacts, expected: number | 'CLEAN_SESSION_REQUIRED']
  const day = 86_400
  const rows: Record<string, Row> = {
    'a clean session ends with its connection': [full, { version: 4, clean: true }, 0],
    'a kept session lasts as long as the hub keeps any': [full, { version: 4, clean: false }, day],
    'a kept session of MQTT 3.1 as well': [full, { version: 3, clean: false }, day],
    'an MQTT 5 session without expiry ends with its connection': [full, { version: 5, clean: false }, 0],
    'an MQTT 5 session gets the expiry it asks for': [
      full,
      { version: 5, clean: true, sessionExpirySeconds: 60 },
      60,
    ],
    'an MQTT 5 session without end gets what the hub has': [
      full,
      { version: 5, clean: false, sessionExpirySeconds: 0xffff_ffff },
      day,
    ],
    'a modest hub takes a clean session': [modest, { version: 4, clean: true }, 0],
    'a modest hub takes an MQTT 5 session without expiry, resumed or not': [
      modest,
      { version: 5, clean: false },
      0,
    ],
    'a modest hub refuses a kept session': [modest, { version: 4, clean: false }, 'CLEAN_SESSION_REQUIRED'],
    'a modest hub refuses an MQTT 5 session with expiry, clean start or not': [
      modest,
      { version: 5, clean: true, sessionExpirySeconds: 1 },
      'CLEAN_SESSION_REQUIRED',
    ],
  }
  it.each(Object.entries(rows))('%s', (_, [hub, session, expected]) => {
    const verdict = judgeSession(hub, session)
    expect(verdict.allowed ? verdict.value : verdict.code).toBe(expected)
  })
})
