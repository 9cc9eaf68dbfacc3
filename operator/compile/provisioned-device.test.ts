import { describe, expect, it } from 'vitest'
import type { Hub } from '../../crds/hub.ts'
import { validate } from '../../crds/validate.ts'
import { provisionedDevice } from './provisioned-device.ts'

const REQUEST = {
  commonName: 'SN 00:12:ÄB',
  fingerprint: 'a'.repeat(64),
  sourceAddress: '10.0.0.7:4711',
  time: 0,
}

function hub(autoProvisioning: object): Hub {
  const spec = {
    deviceCA: { secretRef: { name: 'ca' } },
    autoProvisioning: { enabled: true, ...autoProvisioning },
  }
  const verdict = validate({
    apiVersion: 'iot.hublet.dev/v1alpha1',
    kind: 'Hub',
    metadata: { name: 'garden' },
    spec,
  })
  if (!verdict.valid) throw new Error(JSON.stringify(verdict.errors))
  return verdict.value as Hub
}

describe('a device that was met', () => {
  it('is a valid manifest with what the template of the hub says', () => {
    const template = {
      labels: { site: 'north' },
      annotations: { note: 'x' },
      allowMultipleConnections: true,
      messageFilters: { publish: { policy: 'Accept', topics: ['devices/{{device.name}}/#'] } },
    }
    const manifest = provisionedDevice(hub({ template }), REQUEST)
    const verdict = validate(manifest)
    expect(verdict).toMatchObject({ valid: true })
    expect(manifest).toMatchObject({
      metadata: {
        labels: { site: 'north', 'iot.hublet.dev/provisioned': 'true' },
        annotations: {
          note: 'x',
          'iot.hublet.dev/provisioned-from': '10.0.0.7:4711',
          'iot.hublet.dev/provisioned-at': '1970-01-01T00:00:00Z',
        },
      },
      spec: {
        hubRef: { name: 'garden' },
        name: 'SN 00:12:ÄB',
        certificate: { hubCA: {} },
        allowMultipleConnections: true,
      },
    })
    expect(manifest.spec).not.toHaveProperty('approved')
  })

  it('waits for its approval where the hub wants that', () => {
    expect(provisionedDevice(hub({ mode: 'Approve' }), REQUEST).spec.approved).toBe(false)
  })
})
