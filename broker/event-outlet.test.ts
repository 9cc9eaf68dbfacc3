import { describe, expect, it } from 'vitest'
import type { HubEvent } from '../contract/hub-event.ts'
import { hub } from '../test-support/hub-state.ts'
import { Counters } from './counters.ts'
import { EventOutlet } from './event-outlet.ts'

function setUp(eventsPerSecond: number) {
  const world = { now: 1_000_000, hub: hub({ limits: { eventsPerSecond } }) }
  const published: Array<{ topic: string; body: Record<string, string> }> = []
  const observed: HubEvent[] = []
  const counters = new Counters()
  const outlet = new EventOutlet({
    hub: () => world.hub,
    publish: (topic, payload) => published.push({ topic, body: JSON.parse(payload.toString()) }),
    observe: (event) => observed.push(event),
    counters,
    now: () => world.now,
  })
  const raise = (objectId: string) =>
    outlet.raise({ code: 'DEVICE_DISABLED', objectType: 'device', objectId })
  return { outlet, world, published, observed, counters, raise }
}

describe('the way out for events', () => {
  it('publishes with the prefix of the moment', () => {
    const { world, published, raise } = setUp(100)
    raise('one')
    world.hub = { ...world.hub, events: { enabled: true, topicPrefix: 'ops' } }
    raise('one')
    expect(published.map(({ topic }) => topic)).toEqual([
      '$hub/events/error/device/one',
      'ops/error/device/one',
    ])
  })

  it('leaves room for others when one object makes too many, and sums up', () => {
    const { outlet, published, observed, counters, raise } = setUp(8)
    for (let i = 0; i < 50; i++) raise('noisy')
    raise('quiet')
    expect(published.filter(({ topic }) => topic.endsWith('/noisy'))).toHaveLength(2)
    expect(published.filter(({ topic }) => topic.endsWith('/quiet'))).toHaveLength(1)
    expect(observed).toHaveLength(51)
    expect(counters.eventsSuppressed).toBe(48)
    outlet.sumUp()
    outlet.sumUp()
    const sums = published.filter(({ body }) => body['code'] === 'EVENTS_SUPPRESSED')
    expect(sums.map(({ body }) => body['msg'])).toEqual([
      '48 events were not published because of the rate limit',
    ])
  })

  it('lets more pass as time goes by', () => {
    const { world, published, raise } = setUp(8)
    for (let i = 0; i < 10; i++) raise('noisy')
    world.now += 1_000
    raise('noisy')
    expect(published).toHaveLength(3)
  })

  it('stays silent while events are off, and the observer still sees them', () => {
    const { world, published, observed, raise, outlet } = setUp(100)
    world.hub = { ...world.hub, events: { enabled: false, topicPrefix: '$hub/events' } }
    raise('one')
    outlet.sumUp()
    expect(published).toEqual([])
    expect(observed).toHaveLength(1)
  })
})
