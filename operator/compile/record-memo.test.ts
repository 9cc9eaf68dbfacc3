import { describe, expect, test } from 'vitest'
import type { DeviceInput } from './device-record.ts'
import { deviceRecord } from './device-record.ts'
import {
  FINGERPRINT,
  HUB_UID,
  makeDevice,
  makeHub,
  managedCertificate,
  NOW,
  uidFor,
} from './manifests.fixture.ts'
import { RecordMemo } from './record-memo.ts'

const device = makeDevice('lamp')
const certificate = { ...managedCertificate(FINGERPRINT), notAfter: '2026-06-02T00:00:00Z' }
const input: DeviceInput = {
  device,
  id: uidFor('lamp'),
  hub: { object: makeHub(), uid: HUB_UID },
  facts: { certificate },
  now: NOW,
}

describe('a record that is remembered', () => {
  test('is the very same for the same input, whatever new objects it comes in', () => {
    const { recordOf } = new RecordMemo()
    const first = recordOf(input)
    expect(first).toEqual(deviceRecord(input))
    const again = recordOf({
      ...structuredClone(input),
      device,
      hub: { object: makeHub({ limits: { payloadBytes: 1 } }), uid: HUB_UID },
      now: NOW + 1000,
    })
    expect(again.record).toBe(first.record)
  })

  test.each([
    ['the device', { device: makeDevice('lamp', { enabled: false }) }],
    ['its id', { id: uidFor('pump') }],
    ['its facts', { facts: { certificate, passwordVerifier: 'scrypt$x' } }],
    ['the uid of the hub', { hub: { object: makeHub(), uid: uidFor('other') } }],
    [
      'the device CA',
      { hub: { object: makeHub({ deviceCA: { secretRef: { name: 'ca' } } }), uid: HUB_UID } },
    ],
    ['the end of its certificate', { now: Date.parse('2026-06-02T00:00:00Z') }],
  ] as Array<[string, Partial<DeviceInput>]>)('is worked out again with %s', (_, change) => {
    const { recordOf } = new RecordMemo()
    const first = recordOf(input)
    const next = recordOf({ ...input, ...change })
    expect(next).not.toBe(first)
    expect(next).toEqual(deviceRecord({ ...input, ...change }))
  })

  test('forgets a certificate that was revoked once it has ended', () => {
    const revoked = makeDevice('lamp')
    revoked.status = { revokedFingerprints: [{ fingerprint: FINGERPRINT, until: '2026-06-01T00:00:10Z' }] }
    const { recordOf } = new RecordMemo()
    const records = [0, 9_000, 10_000].map(
      (ms) => recordOf({ ...input, device: revoked, now: NOW + ms }).record,
    )
    expect(records.map(({ revokedFingerprints }) => revokedFingerprints.length)).toEqual([1, 1, 0])
    expect(records[1]).toBe(records[0])
  })
})
