import { describe, expect, it } from 'vitest'
import type { HubState } from '../../contract/hub-state.ts'
import { device, hub, hubState, network, route } from '../../test-support/hub-state.ts'
import { MemoryStateSource } from './memory-state-source.ts'
import type { StateChange } from './state-source.ts'

const lamp = device({ name: 'lamp', certificate: { source: 'Managed', fingerprints: ['aa', 'ab'] } })
const pump = device({ name: 'pump' })
const state: HubState = hubState({
  hub: hub({ name: 'garden' }),
  devices: [lamp, pump],
  networks: [network({ name: 'web', token: 'secret' })],
  routes: [route({ id: 'r', name: 'archive' })],
})

async function started(): Promise<{ source: MemoryStateSource; changes: StateChange[] }> {
  const source = new MemoryStateSource(structuredClone(state))
  const changes: StateChange[] = []
  await source.start((change) => changes.push(change))
  return { source, changes }
}

const NOTHING: StateChange = {
  hub: false,
  networks: false,
  routes: false,
  devices: new Set(),
  removedDevices: new Set(),
}

describe('MemoryStateSource', () => {
  it('finds a device by id, by name and by each of its fingerprints', async () => {
    const { source } = await started()
    expect(await source.deviceById(lamp.id)).toEqual(lamp)
    expect(await source.deviceByName('lamp')).toEqual(lamp)
    expect(await source.deviceByFingerprint('aa')).toEqual(lamp)
    expect(await source.deviceByFingerprint('ab')).toEqual(lamp)
  })

  it('knows nothing of an id, a name or a fingerprint that no device has', async () => {
    const { source } = await started()
    expect(await source.deviceById('lamp')).toBeUndefined()
    expect(await source.deviceByName(lamp.id)).toBeUndefined()
    expect(await source.deviceByFingerprint('__proto__')).toBeUndefined()
    expect(source.networkByName('constructor')).toBeUndefined()
  })

  it('gives the hub, its networks and its routes', async () => {
    const { source } = await started()
    expect(source.hub()).toEqual(state.hub)
    expect(source.networkByName('web')).toEqual(state.networks[0])
    expect(source.routes()).toEqual(state.routes)
  })

  it.each<[string, (next: HubState) => HubState, Partial<StateChange>]>([
    [
      'an added device',
      (next) => ({ ...next, devices: [...next.devices, { ...pump, id: 'new', name: 'new' }] }),
      { devices: new Set(['new']) },
    ],
    [
      'an edited device',
      (next) => ({ ...next, devices: [lamp, { ...pump, allowInsecure: false }] }),
      { devices: new Set([pump.id]) },
    ],
    ['a removed device', (next) => ({ ...next, devices: [pump] }), { removedDevices: new Set([lamp.id]) }],
    [
      'a device that was replaced by one of the same name',
      (next) => ({ ...next, devices: [{ ...lamp, id: 'other' }, pump] }),
      { devices: new Set(['other']), removedDevices: new Set([lamp.id]) },
    ],
    ['an edited hub', (next) => ({ ...next, hub: { ...next.hub, enabled: false } }), { hub: true }],
    ['a removed network', (next) => ({ ...next, networks: [] }), { networks: true }],
    ['a removed route', (next) => ({ ...next, routes: [] }), { routes: true }],
    ['devices in another order as nothing', (next) => ({ ...next, devices: [pump, lamp] }), {}],
  ])('tells %s', async (_, edit, expected) => {
    const { source, changes } = await started()
    const change = source.replace(edit(structuredClone(state)))
    expect(change).toEqual({ ...NOTHING, ...expected })
    expect(changes).toEqual(Object.keys(expected).length === 0 ? [] : [change])
  })

  it('shows the new state before it tells of it', async () => {
    const source = new MemoryStateSource(state)
    const seen: unknown[] = []
    await source.start(() => {
      seen.push(source.hub().enabled)
    })
    source.replace({ ...state, hub: { ...state.hub, enabled: false } })
    expect(seen).toEqual([false])
  })

  it('forgets the old name and fingerprints of a device with the change', async () => {
    const { source } = await started()
    const renewed = { ...lamp, name: 'light', certificate: { ...lamp.certificate, fingerprints: ['ac'] } }
    source.replace({ ...state, devices: [renewed, pump] })
    expect(await source.deviceByName('lamp')).toBeUndefined()
    expect(await source.deviceByFingerprint('aa')).toBeUndefined()
    expect(await source.deviceByFingerprint('ac')).toEqual(renewed)
  })

  it('keeps the very record of a device that did not change', async () => {
    const { source } = await started()
    const before = await source.deviceById(pump.id)
    source.replace(structuredClone({ ...state, devices: [{ ...lamp, enabled: false }, pump] }))
    expect(await source.deviceById(pump.id)).toBe(before)
  })

  it('tells nobody once it is stopped', async () => {
    const { source, changes } = await started()
    await source.stop()
    source.replace({ ...state, networks: [] })
    expect(changes).toEqual([])
  })
})
