import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { makeTempDir } from '../../test-support/temp-dir.ts'
import { ofKind } from '../manifests/manifest-set.ts'
import { type DataFolder, openDataFolder } from './data-folder.ts'
import { hubsOf } from './hub-manifests.ts'
import { deviceYaml, hubYaml, setOf } from './manifests.fixture.ts'
import { ProvisionedDevices } from './provisioned-devices.ts'

let folder: DataFolder | undefined
afterEach(() => {
  folder?.close()
  folder = undefined
})

const OPEN =
  '{ deviceCA: { secretRef: { name: ca } }, autoProvisioning: { enabled: true }, limits: { devices: 3 } }'
const request = (commonName: string) => ({
  commonName,
  fingerprint: 'a'.repeat(64),
  sourceAddress: '10.0.0.7:4711',
  time: Date.UTC(2026, 10, 23),
})

function setUp(document?: string, spec = OPEN) {
  folder ??= openDataFolder(join(makeTempDir('provisioned'), '.hublet'))
  const set = setOf(hubYaml(spec), ...(document === undefined ? [] : [document]))
  const devices = new ProvisionedDevices(folder)
  const hubs = hubsOf(set)
  const [hub] = hubs
  if (hub === undefined) throw new Error('no hub')
  const objects = () => ofKind(devices.addTo(set), 'Device').map(({ object }) => object)
  const named = (name: string) => objects().find(({ spec }) => spec.name === name)
  return {
    add: (name: string) => devices.add(hub, request(name)),
    approve: (name: string) => devices.approve('garden', named(name)?.metadata.name ?? ''),
    approved: (name: string) => named(name)?.spec.approved,
    objectName: (name: string) => named(name)?.metadata.name ?? '',
    names: () => objects().map(({ spec, metadata }) => spec.name ?? metadata.name),
    devices,
    set,
    hubs,
  }
}

describe('devices that made themselves known', () => {
  it('stand beside those that were declared, and are there after a restart', () => {
    const { add, names } = setUp(deviceYaml('lamp'))
    expect(names()).toEqual(['lamp'])
    expect(add('SN 1')).toBe('Created')
    expect(names()).toEqual(['lamp', 'SN 1'])
    expect(setUp(deviceYaml('lamp')).names()).toEqual(['lamp', 'SN 1'])
  })

  it('are made once each, and not at all where the user has declared one', () => {
    const { add, names } = setUp(deviceYaml('lamp'))
    expect([add('SN 1'), add('SN 1'), add('lamp')]).toEqual(['Created', 'Existed', 'Existed'])
    expect(names()).toEqual(['lamp', 'SN 1'])
  })

  it('give way to the manifest that the user makes of them', () => {
    const { add, names } = setUp()
    add('SN 1')
    expect(names()).toEqual(['SN 1'])
    const mine = deviceYaml('my-sensor', 'name: SN 1, allowMultipleConnections: true')
    const { devices, set } = setUp(mine)
    const all = ofKind(devices.addTo(set), 'Device')
    expect(all.map(({ object }) => object.metadata.name)).toEqual(['my-sensor'])
  })

  it('end at the quota of the hub', () => {
    const { add } = setUp(deviceYaml('lamp'))
    expect([add('1'), add('2'), add('3')]).toEqual(['Created', 'Created', 'QuotaReached'])
  })

  it('survive a file that somebody spoiled', () => {
    setUp().add('SN 1')
    folder?.write(join('garden', 'provisioned', 'spoiled.yaml'), 'kind: [')
    folder?.write(join('garden', 'provisioned', 'other.yaml'), hubYaml())
    expect(setUp().names()).toEqual(['SN 1'])
  })

  const PENDING =
    '{ deviceCA: { secretRef: { name: ca } }, autoProvisioning: { enabled: true, mode: Approve, pendingTTL: 24h } }'
  const HOUR = 3_600_000

  it('are approved in their file, whatever else somebody wrote there, and stay it after a restart', () => {
    const first = setUp(deviceYaml('lamp'), PENDING)
    first.add('SN 1')
    const name = first.objectName('SN 1')
    const file = join('garden', 'provisioned', `${name}.yaml`)
    folder?.write(file, `# from line 3\n${folder.read(file)}`)
    const second = setUp(deviceYaml('lamp'), PENDING)
    expect(second.approved('SN 1')).toBe(false)
    second.devices.approve('garden', name)
    expect(second.approved('SN 1')).toBe(true)
    expect(setUp(deviceYaml('lamp'), PENDING).approved('SN 1')).toBe(true)
    expect(folder?.read(file)).toContain('# from line 3')
  })

  it('go when nobody has approved them in time, and may come again', () => {
    const { add, names, devices, hubs, approve } = setUp(deviceYaml('lamp'), PENDING)
    add('SN 1')
    add('SN 2')
    approve('SN 2')
    const end = request('').time + 24 * HOUR
    expect(devices.expire(hubs, end - 1)).toEqual([])
    expect(devices.expire(hubs, end)).toEqual([{ hub: 'garden', device: 'SN 1' }])
    expect(names()).toEqual(['lamp', 'SN 2'])
    expect(setUp(deviceYaml('lamp'), PENDING).names()).toEqual(['lamp', 'SN 2'])
    expect(add('SN 1')).toBe('Created')
  })
})
