import { describe, expect, it } from 'vitest'
import type { EventCode } from '../../contract/hub-event.ts'
import type { DeviceRecord } from '../../contract/hub-state.ts'
import { type Attempt, attempt, connectAs, resultOf } from './attempt.fixture.ts'
import { type ConnectFacts, identityQuery } from './identity.ts'
import {
  aCertificate,
  aDevice,
  aHub,
  aLink,
  DEVICE_ID,
  FINGERPRINT,
  OTHER_ID,
  ownCAHub,
} from './records.fixture.ts'

describe('ids and client ids', () => {
  const one = aDevice({ allowInsecure: true })
  const many = aDevice({ allowInsecure: true, allowMultipleConnections: true })
  const upper = DEVICE_ID.toUpperCase()

  type Row = [device: DeviceRecord, connect: ConnectFacts, clientId: string | undefined | EventCode]
  const rows: Record<string, Row> = {
    'the client id is the device id': [one, connectAs(DEVICE_ID), DEVICE_ID],
    'the client id wins over the user name': [one, connectAs(DEVICE_ID, { username: OTHER_ID }), DEVICE_ID],
    'the user name is the device id and becomes the client id': [
      one,
      connectAs('ESP8266Client', { username: DEVICE_ID }),
      DEVICE_ID,
    ],
    'the user name is the device id, the client id is another UUID': [
      one,
      connectAs(OTHER_ID, { username: DEVICE_ID }),
      DEVICE_ID,
    ],
    'the user name is the device id and the client id is empty': [
      one,
      connectAs('', { username: DEVICE_ID }),
      DEVICE_ID,
    ],
    'several connections keep their own client ids': [
      many,
      connectAs('left', { username: DEVICE_ID }),
      'left',
    ],
    'several connections with empty client ids get generated ones': [
      many,
      connectAs('', { username: DEVICE_ID }),
      undefined,
    ],
    'an id in capitals is the same device and the same session': [one, connectAs(upper), DEVICE_ID],
    'a user name in capitals is the same device': [one, connectAs('x', { username: upper }), DEVICE_ID],
    'an id with spaces around is no id': [one, connectAs(` ${DEVICE_ID}`), 'UNKNOWN_DEVICE'],
    'the name of a device is no id': [one, connectAs('lamp', { username: 'lamp' }), 'UNKNOWN_DEVICE'],
  }
  it.each(Object.entries(rows))('%s', (_, [device, connect, expected]) => {
    const verdict = attempt({ link: aLink('mqtt'), connect, devices: [device] })
    expect(verdict.allowed ? verdict.value.clientId : verdict.code).toBe(expected)
  })

  it('are normalised when a record has capitals', () => {
    const verdict = attempt({ link: aLink('ws'), devices: [{ ...one, id: upper }] })
    expect(verdict).toMatchObject({ allowed: true, value: { clientId: DEVICE_ID, mutual: false } })
  })

  it('are free under a certificate, and generated when empty', () => {
    const clientIdFor = (clientId: string) => {
      const verdict = attempt({ link: aLink('mqtts', aCertificate()), connect: connectAs(clientId) })
      return verdict.allowed ? verdict.value : verdict
    }
    expect(clientIdFor('anything')).toMatchObject({ clientId: 'anything', mutual: true })
    expect(clientIdFor('')).toMatchObject({ clientId: undefined, mutual: true })
  })
})

describe('passwords', () => {
  const device = aDevice({ allowInsecure: true, passwordVerifier: 'scrypt$…' })
  const given = (hasPassword: boolean, passwordMatches?: boolean): Attempt => ({
    link: aLink('mqtt'),
    connect: connectAs(DEVICE_ID, { hasPassword }),
    devices: [device],
    ...(passwordMatches === undefined ? {} : { passwordMatches }),
  })

  it('let in only when they were checked and match', () => {
    expect(resultOf(given(true, true))).toBe('Accepted')
    expect(resultOf(given(true, false))).toBe('BAD_PASSWORD')
    expect(resultOf(given(true))).toBe('BAD_PASSWORD')
  })

  it('are refused without a check when none was sent, whatever a check would say', () => {
    expect(resultOf(given(false, true))).toBe('BAD_PASSWORD')
  })

  it('are ignored by a device that has none', () => {
    const open = aDevice({ allowInsecure: true })
    expect(resultOf({ ...given(true), devices: [open] })).toBe('Accepted')
    expect(resultOf({ ...given(true, false), devices: [open] })).toBe('Accepted')
  })

  it('do not open a device that denies insecure links', () => {
    const closed = aDevice({ passwordVerifier: 'scrypt$…' })
    expect(resultOf({ ...given(true, true), devices: [closed] })).toBe('MTLS_REQUIRED')
  })
})

describe('identityQuery', () => {
  it('asks for nothing where nothing could come of it', () => {
    expect(identityQuery(aLink('mqtt'), connectAs(DEVICE_ID), aHub({ enabled: false }))).toEqual([])
    expect(identityQuery(aLink('mqtt'), connectAs('junk', { username: 'x'.repeat(60_000) }), aHub())).toEqual(
      [],
    )
    expect(identityQuery(aLink('mqtt'), connectAs('__proto__', { username: '' }), aHub())).toEqual([])
  })

  it('asks once when client id and user name are the same', () => {
    const connect = connectAs(DEVICE_ID, { username: DEVICE_ID })
    expect(identityQuery(aLink('mqtt'), connect, aHub())).toEqual([{ by: 'ClientId', value: DEVICE_ID }])
  })

  it('asks by client id first and user name second', () => {
    const connect = connectAs(OTHER_ID, { username: DEVICE_ID })
    expect(identityQuery(aLink('wss'), connect, aHub())).toEqual([
      { by: 'ClientId', value: OTHER_ID },
      { by: 'Username', value: DEVICE_ID },
    ])
  })

  it('asks by fingerprint first, by name only for a trusted chain, and never by id with a certificate', () => {
    const connect = connectAs(DEVICE_ID, { username: DEVICE_ID })
    expect(identityQuery(aLink('mqtts', aCertificate()), connect, ownCAHub())).toEqual([
      { by: 'Fingerprint', value: FINGERPRINT },
      { by: 'CommonName', value: 'lamp' },
    ])
    for (const certificate of [aCertificate({ chainTrusted: false }), aCertificate({ commonName: '' })]) {
      expect(identityQuery(aLink('mqtts', certificate), connect, ownCAHub())).toEqual([
        { by: 'Fingerprint', value: FINGERPRINT },
      ])
    }
  })
})

describe('refusals', () => {
  it('name the device once it is known, for the event', () => {
    expect(attempt({ link: aLink('mqtt') })).toMatchObject({ code: 'MTLS_REQUIRED', deviceId: DEVICE_ID })
    const expired = aLink('mqtts', aCertificate({ notAfter: 0 }))
    expect(attempt({ link: expired })).toEqual({
      allowed: false,
      code: 'INVALID_DEVICE_CERTIFICATE',
      detail: 'the certificate has expired',
      deviceId: DEVICE_ID,
    })
  })

  it('name no device when none was found', () => {
    expect(attempt({ link: aLink('mqtt'), devices: [] })).toEqual({ allowed: false, code: 'UNKNOWN_DEVICE' })
    const foreign = aCertificate({ chainTrusted: false, chainError: 'SELF_SIGNED_CERT_IN_CHAIN' })
    expect(attempt({ link: aLink('mqtts', foreign), hub: ownCAHub(), devices: [] })).toEqual({
      allowed: false,
      code: 'INVALID_DEVICE_CERTIFICATE',
      detail: 'the chain is not trusted: SELF_SIGNED_CERT_IN_CHAIN',
    })
  })
})
