import { describe, expect, it } from 'vitest'
import type { RouteReport } from '../contract/route-report.ts'
import { RouteEvents } from './route-events.ts'

const ERROR = { code: 'CONNECTION_REFUSED', message: 'connect refused', time: 0 }

const report = (fields: Partial<RouteReport> = {}): RouteReport => ({
  routeId: 'r',
  health: 'Ready',
  isDown: false,
  lag: 0,
  lagMs: 0,
  delivered: 0,
  failed: 0,
  deadLettered: 0,
  discarded: 0,
  filtered: 0,
  dropped: 0,
  rate: 0,
  ...fields,
})

/** Codes and details, report by report. */
function told(...reports: RouteReport[]): string[][] {
  const events = new RouteEvents()
  return reports.map((one) => events.of(one).map(({ code, detail }) => `${code} ${detail ?? ''}`.trim()))
}

describe('the events of a route', () => {
  it('are none while all goes well', () => {
    expect(told(report(), report({ delivered: 5 }), report({ delivered: 5, filtered: 3 }))).toEqual([
      [],
      [],
      [],
    ])
  })

  it('tell once a report that attempts failed, and once that it is over', () => {
    const down = { health: 'DeliveryFailing', isDown: true, lastError: ERROR } as const
    const failed = 'ROUTE_DELIVERY_FAILED CONNECTION_REFUSED connect refused'
    expect(
      told(
        report({ ...down, failed: 7 }),
        report({ ...down, failed: 7 }),
        report({ ...down, failed: 8 }),
        report({ failed: 8, delivered: 9, lastError: ERROR }),
        report({ failed: 8, delivered: 10, lastError: ERROR }),
      ),
    ).toEqual([[failed], [], [failed], ['ROUTE_RECOVERED'], []])
  })

  it('tell that it is over also when attempts failed until just now, and not because messages are lost', () => {
    const down = { health: 'DeliveryFailing', isDown: true, lastError: ERROR } as const
    const failed = 'ROUTE_DELIVERY_FAILED CONNECTION_REFUSED connect refused'
    expect(
      told(
        report({ ...down, failed: 7 }),
        report({ ...down, failed: 7, health: 'BufferFull' }),
        report({ failed: 8, delivered: 9, lastError: ERROR }),
      ),
    ).toEqual([[failed], [], [failed, 'ROUTE_RECOVERED']])
  })

  it('tell of a route that cannot even try', () => {
    const error = { ...ERROR, code: 'EXPRESSION_INVALID', message: 'spec.filter: no such field' }
    const unable = report({ health: 'DeliveryFailing', isDown: true, lastError: error })
    expect(told(unable, unable)).toEqual([
      ['ROUTE_DELIVERY_FAILED EXPRESSION_INVALID spec.filter: no such field'],
      [],
    ])
  })

  it('count what was given up, whether it is kept or not', () => {
    expect(
      told(
        report({ failed: 1, deadLettered: 1, lastError: ERROR }),
        report({ failed: 4, deadLettered: 2, discarded: 2, lastError: ERROR }),
      ),
    ).toEqual([
      ['ROUTE_DEAD_LETTER 1 message, last CONNECTION_REFUSED connect refused'],
      ['ROUTE_DEAD_LETTER 3 messages, last CONNECTION_REFUSED connect refused'],
    ])
  })

  it('tell of an answer that was not published, once', () => {
    const refused = (time: number) => ({ code: 'REPLY_LOOP', message: 'came of its own answer', time })
    const text = 'ROUTE_REPLY_REFUSED REPLY_LOOP came of its own answer'
    expect(
      told(
        report({ delivered: 1 }),
        report({ delivered: 2, lastError: refused(1) }),
        report({ delivered: 3, lastError: refused(1) }),
        report({ delivered: 4, lastError: refused(2) }),
      ),
    ).toEqual([[], [text], [], [text]])
  })

  it('begin anew for a route that was gone', () => {
    const events = new RouteEvents()
    const down = report({ health: 'DeliveryFailing', isDown: true, failed: 3, lastError: ERROR })
    expect(events.of(down)).toHaveLength(1)
    events.keep(new Set())
    expect(events.of(down)).toHaveLength(1)
    events.keep(new Set(['r']))
    expect(events.of(down)).toHaveLength(0)
  })
})
