import { describe, expect, it } from 'vitest'
import type { RouteReport } from '../../contract/route-report.ts'
import type { Route } from '../api/resources.ts'
import { RouteReportsSeen } from './route-reports.ts'
import { routeFields, routeFindings } from './route-status.ts'

const report = (fields: Partial<RouteReport> = {}): RouteReport => ({
  routeId: 'r',
  health: 'Ready',
  isDown: false,
  ...{
    lag: 0,
    lagMs: 0,
    delivered: 5,
    failed: 0,
    deadLettered: 0,
    discarded: 0,
    filtered: 0,
    dropped: 0,
    rate: 1.6,
  },
  ...fields,
})
const down = (code: string, fields: Partial<RouteReport> = {}) =>
  report({ health: 'DeliveryFailing', isDown: true, lastError: { code, message: 'no', time: 0 }, ...fields })
const shown = (of: RouteReport | undefined) =>
  routeFindings(of).map(({ type, status, reason }) => `${type} ${status} ${reason}`)

describe('the conditions of a route', () => {
  it.each<[string, RouteReport | undefined, string[]]>([
    ['nobody reports on', undefined, ['Ready Unknown Progressing', 'Reconciling True Progressing']],
    [
      'that delivers',
      report(),
      ['Ready True Succeeded', 'SinkReachable True Succeeded', 'Degraded False Succeeded'],
    ],
    [
      'that had nothing to do',
      report({ delivered: 0 }),
      ['Ready True Succeeded', 'SinkReachable Unknown NothingDelivered', 'Degraded False Succeeded'],
    ],
    [
      'whose destination is down',
      down('HTTP_503'),
      [
        'Ready False DeliveryFailing',
        'Reconciling True DeliveryFailing',
        'SinkReachable False DeliveryFailing',
        'Degraded True DeliveryFailing',
      ],
    ],
    [
      'that loses messages while its destination is down',
      down('HTTP_503', { health: 'BufferFull' }),
      [
        'Ready False DeliveryFailing',
        'Reconciling True DeliveryFailing',
        'SinkReachable False DeliveryFailing',
        'Degraded True BufferFull',
      ],
    ],
    [
      'that loses messages',
      report({ health: 'BufferFull' }),
      [
        'Ready False BufferFull',
        'Reconciling True BufferFull',
        'SinkReachable True Succeeded',
        'Degraded True BufferFull',
      ],
    ],
    [
      'that gave messages up and delivers others',
      report({ isGivingUp: true }),
      ['Ready True Succeeded', 'SinkReachable True Succeeded', 'Degraded True MessagesGivenUp'],
    ],
    [
      'that may not reach its destination',
      down('DESTINATION_FORBIDDEN'),
      [
        'Ready False DestinationForbidden',
        'Stalled True DestinationForbidden',
        'SinkReachable False DeliveryFailing',
        'Degraded True DeliveryFailing',
      ],
    ],
  ])('%s', (_, of, conditions) => expect(shown(of)).toEqual(conditions))

  it('hold no longer texts than the API takes', () => {
    const time = Date.UTC(2026, 0, 1)
    const lastError = { code: 'C'.repeat(999), message: 'm'.repeat(9_999), time }
    const { lastError: told } = routeFields(report({ lastError }))
    expect([told?.code.length, told?.message.length, told?.time]).toEqual([128, 1024, '2026-01-01T00:00:00Z'])
  })
})

describe('what workers reported', () => {
  const route = { metadata: { name: 'out', namespace: 'farm', uid: 'r' } } as Route

  it('is written at once when a condition changes, and its numbers now and then', () => {
    const seen = new RouteReportsSeen()
    const note = (of: RouteReport | undefined, now: number) =>
      seen.note(new Map(of === undefined ? [] : [['r', of]]), [route], now)
    expect(seen.of(route)).toBeUndefined()
    expect(note(undefined, 0)).toEqual(['farm/out'])
    expect(seen.of(route)).toEqual(expect.objectContaining({ report: undefined }))
    expect(note(report(), 1)).toEqual(['farm/out'])
    expect(note(report({ delivered: 6 }), 1_000)).toEqual([])
    expect(note(down('HTTP_503', { delivered: 6 }), 2_000)).toEqual(['farm/out'])
    const later = (failed: number, now: number) => note(down('HTTP_503', { delivered: 6, failed }), now)
    expect([later(9, 6_999), later(9, 7_000)]).toEqual([[], ['farm/out']])
    expect([later(20, 36_999), later(20, 37_000)]).toEqual([[], ['farm/out']])
    expect(note(undefined, 38_000)).toEqual(['farm/out'])
  })

  it('is forgotten with the route, and does not count for another of its name', () => {
    const seen = new RouteReportsSeen()
    seen.note(new Map([['r', report()]]), [route], 0)
    expect(seen.of({ ...route, metadata: { ...route.metadata, uid: 'other' } })).toBeUndefined()
    seen.forget('farm/out')
    expect(seen.of(route)).toBeUndefined()
  })
})
