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

function setUp(...documents: string[]) {
  folder ??= openDataFolder(join(makeTempDir('provisioned'), '.hublet'))
  const set = setOf(hubYaml(OPEN), ...documents)
  const devices = new ProvisionedDevices(folder)
  const [hub] = hubsOf(set)
  if (hub === undefined) throw new Error('no hub')
  const names = () =>
    ofKind(devices.addTo(set), 'Device').map(({ object }) => object.spec.name ?? object.metadata.name)
  return { add: (name: string) => devices.add(hub, request(name)), names, devices, set }
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
})
