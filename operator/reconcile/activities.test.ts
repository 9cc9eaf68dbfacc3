import { expect, it } from 'vitest'
import { makeDevice, uidFor } from '../compile/manifests.fixture.ts'
import { Activities } from './activities.ts'

const NOW = Date.parse('2026-06-01T00:00:00Z')
const device = (name: string, status: object = {}) => Object.assign(makeDevice(name), { status })
const digest = (connections: number, lastActivityAt = NOW) => ({ connections, lastActivityAt })

it('a device that connects is told at once, with when it was active', () => {
  const activities = new Activities()
  const lamp = device('lamp')
  expect(activities.report('farm/home', new Map([[uidFor('lamp'), digest(2)]]), [lamp])).toEqual([
    'farm/lamp',
  ])
  expect(activities.fieldsOf(lamp)).toEqual({
    connected: true,
    connections: 2,
    lastActivityTime: '2026-06-01T00:00:00Z',
  })
  expect(activities.connected('farm/home')).toBe(1)
})

it.each([
  [
    'that says nothing new',
    { connected: true, connections: 1, lastActivityTime: '2026-06-01T00:00:00Z' },
    false,
  ],
  ['a little behind', { connected: true, connections: 1, lastActivityTime: '2026-05-31T23:45:01Z' }, false],
  ['far behind', { connected: true, connections: 1, lastActivityTime: '2026-05-31T23:45:00Z' }, true],
  ['with another count', { connected: true, connections: 2, lastActivityTime: '2026-06-01T00:00:00Z' }, true],
])('a status %s', (_, status, isDue) => {
  const activities = new Activities()
  const digests = new Map([[uidFor('lamp'), digest(1)]])
  expect(activities.report('farm/home', digests, [device('lamp', status)])).toHaveLength(isDue ? 1 : 0)
})

it('a device that nobody speaks of is not connected, and one that never was costs no write', () => {
  const activities = new Activities()
  const gone = device('gone', { connected: true, connections: 1, lastActivityTime: '2026-05-01T00:00:00Z' })
  expect(activities.report('farm/home', new Map(), [gone, device('never')])).toEqual(['farm/gone'])
  expect(activities.fieldsOf(gone)).toEqual({
    connected: false,
    connections: 0,
    lastActivityTime: '2026-05-01T00:00:00Z',
  })
  expect(activities.fieldsOf(device('never'))).toEqual({})
})

it('no more than 200 statuses are written at a time, connections first', () => {
  const activities = new Activities()
  const status = { connected: true, connections: 1, lastActivityTime: '2026-01-01T00:00:00Z' }
  const stale = Array.from({ length: 300 }, (_, n) => device(`stale-${n}`, status))
  const wrong = Array.from({ length: 150 }, (_, n) => device(`wrong-${n}`))
  const all = [...stale, ...wrong]
  const digests = new Map(all.map(({ metadata }) => [metadata.uid ?? '', digest(1)]))
  const due = activities.report('farm/home', digests, all)
  expect(due).toHaveLength(200)
  expect(due.filter((key) => key.startsWith('farm/wrong-'))).toHaveLength(150)
})

it('a certificate that was let in for the first time is told at once, and until the status says so', () => {
  const activities = new Activities()
  const status = { connected: true, connections: 1, lastActivityTime: '2026-06-01T00:00:00Z' }
  const certificate = { fingerprint: 'a'.repeat(64), notAfter: NOW + 1000 }
  const digests = new Map([[uidFor('lamp'), { ...digest(1), certificate }]])
  const used = { fingerprint: 'a'.repeat(64), until: '2026-06-01T00:00:01Z' }
  expect(activities.report('farm/home', digests, [device('lamp', status)])).toEqual(['farm/lamp'])
  expect(activities.usedOf(device('lamp'))).toEqual(used)
  const told = device('lamp', { ...status, certificate: { used } })
  expect(activities.report('farm/home', digests, [told])).toEqual([])
  expect(activities.usedOf(device('lamp'))).toBeUndefined()
})
