import { inspect } from 'node:util'
import { describe, expect, it } from 'vitest'
import { device, hub, network, route } from '../test-support/hub-state.ts'
import { changeEntryId, decodeChangeEntry, encodeHubChange } from './hub-change.ts'
import type { DeviceRecord } from './hub-state.ts'
import {
  decodeDevice,
  decodeHub,
  decodeNetworks,
  decodeRoutes,
  encodeDevice,
  encodeHub,
  encodeNetworks,
  encodeRoutes,
} from './hub-state-codec.ts'

const full: DeviceRecord = device({
  templateErrors: ['topic'],
  filters: { publish: { policy: 'Accept', topics: ['a/+', '$hub/#'] } },
  certificate: { source: 'Managed', fingerprints: ['aa', 'bb'] },
  revokedFingerprints: [{ fingerprint: 'cc', until: '2030-01-01T00:00:00Z' }],
  passwordVerifier: 'scrypt$1$2$3$4$5',
})

describe('the JSON of a hub state', () => {
  it('gives back every field of every record', () => {
    const { deviceTrust } = hub()
    const trusting = hub({ deviceTrust: { ...deviceTrust, caCertificates: ['PEM'] } })
    const networks = [network({ token: 't' })]
    const routes = [route({ id: 'r', name: 'archive' })]
    expect(decodeDevice(encodeDevice(full))).toEqual(full)
    expect(decodeDevice(encodeDevice(device()))).toHaveProperty('allowInsecure', true)
    expect(decodeHub(encodeHub(trusting))).toEqual(trusting)
    expect(decodeNetworks(encodeNetworks(networks))).toEqual(networks)
    expect(decodeRoutes(encodeRoutes(routes))).toEqual(routes)
  })

  it('is the same for equal records, whatever order their fields were set in', () => {
    const reversed = Object.fromEntries(Object.entries(full).reverse()) as DeviceRecord
    expect(encodeDevice(reversed)).toBe(encodeDevice(full))
  })

  it('has no field that the schema does not name, at any depth', () => {
    const carrying = {
      ...full,
      password: 'sesame',
      certificate: { ...full.certificate, privateKey: 'sesame' },
      filters: { ...full.filters, note: { password: 'sesame' } },
    }
    expect(encodeDevice(carrying)).toBe(encodeDevice(full))
    expect(encodeHub(Object.assign(hub(), { secret: 'sesame' }))).not.toContain('sesame')
    expect(encodeNetworks([Object.assign(network({ token: 't' }), { token: 'sesame' })])).not.toContain(
      'sesame',
    )
  })

  it.each([
    ['no JSON', '{'],
    ['null', 'null'],
    ['a record without a field', '{"id":"x"}'],
    ['a field of another type', encodeDevice(full).replace('"enabled":true', '"enabled":"yes"')],
    ['an unknown value of an enumeration', encodeDevice(full).replace('"Managed"', '"Other"')],
  ])('is refused when it is %s', (_, text) => {
    expect(decodeDevice(text), inspect(text)).toBeUndefined()
  })
})

describe('an entry of the change stream', () => {
  const change = { hub: true, networks: false, routes: true, devices: ['a', 'b'], removed: ['c'] }
  const fields = ['previous', '41', 'change', encodeHubChange(change)]

  it('comes back with its place', () => {
    expect(decodeChangeEntry(changeEntryId(42), fields)).toEqual({ revision: 42, previous: 41, change })
  })

  it('takes a revision that is a time in microseconds', () => {
    expect(decodeChangeEntry(changeEntryId(1_790_000_000_123_456), fields)?.revision).toBe(
      1_790_000_000_123_456,
    )
  })

  it.each([
    ['an id of another kind', '42-1', fields],
    ['no predecessor', '42-0', fields.slice(2)],
    ['a negative predecessor', '42-0', ['previous', '-1', ...fields.slice(2)]],
    ['no change', '42-0', fields.slice(0, 2)],
    ['a change that is no JSON', '42-0', [...fields.slice(0, 3), '{']],
    ['a change without a field', '42-0', [...fields.slice(0, 3), '{"hub":true}']],
    ['a revision that no number can hold', '99999999999999999-0', fields],
  ])('with %s is refused', (_, id, given) => {
    expect(decodeChangeEntry(id, given)).toBeUndefined()
  })
})
