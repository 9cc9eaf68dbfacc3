import { describe, expect, it } from 'vitest'
import { route } from '../../test-support/hub-state.ts'
import { RouteIndex } from './route-index.ts'

function indexOf(...routes: Array<Parameters<typeof route>[0]>): RouteIndex {
  const index = new RouteIndex()
  index.set(routes.map((one) => route(one)))
  return index
}

const idsFor = (index: RouteIndex, topic: string, except?: string) =>
  index
    .match(topic, except)
    .map(({ routeId }) => routeId)
    .toSorted()

describe('the index of routes', () => {
  it('finds every enabled route whose filter matches, once', () => {
    const index = indexOf(
      { id: 'all', topic: '#' },
      { id: 'one', topic: 'a/b' },
      { id: 'level', topic: 'a/+' },
      { id: 'off', topic: 'a/b', enabled: false },
      { id: 'other', topic: 'b' },
    )
    expect(idsFor(index, 'a/b')).toEqual(['all', 'level', 'one'])
    expect(idsFor(index, 'b')).toEqual(['all', 'other'])
    expect(idsFor(index, 'a')).toEqual(['all'])
  })

  it('finds topics that start with $ only by filters that do', () => {
    const index = indexOf({ id: 'all', topic: '#' }, { id: 'events', topic: '$hub/events/#' })
    expect(idsFor(index, '$hub/events/error/device/x')).toEqual(['events'])
  })

  it('leaves out the route that is the cause of the message', () => {
    const index = indexOf({ id: 'a', topic: '#' }, { id: 'b', topic: '#' })
    expect(idsFor(index, 't', 'a')).toEqual(['b'])
    expect(idsFor(index, 't', 'unknown')).toEqual(['a', 'b'])
  })

  it('tells the bounds and partitions of each route', () => {
    const buffer = { messages: 5, bytes: 2048, overflow: 'DropNewest' as const }
    const index = indexOf({ id: 'a', spec: { delivery: { partitions: 2, buffer } } })
    expect(index.match('t')).toEqual([{ routeId: 'a', partitions: 2, buffer }])
  })

  it('goes by the new routes once they are set, also for topics it has matched before', () => {
    const index = indexOf({ id: 'a', topic: 't' })
    expect(idsFor(index, 't')).toEqual(['a'])
    index.set([route({ id: 'b', topic: '#' })])
    expect(idsFor(index, 't')).toEqual(['b'])
    index.set([])
    expect(index.isEmpty).toBe(true)
    expect(idsFor(index, 't')).toEqual([])
  })

  it('is empty when no route is enabled', () => {
    expect(indexOf({ enabled: false }).isEmpty).toBe(true)
    expect(indexOf({}).isEmpty).toBe(false)
  })

  it('tells of filters that are none and takes the other routes', () => {
    const index = new RouteIndex()
    const broken = index.set([
      route({ name: 'hash', topic: 'a/#/b' }),
      route({ name: 'shared', topic: '$share/g/a' }),
      route({ name: 'empty', topic: '' }),
      route({ id: 'good', topic: 'a' }),
    ])
    expect(broken.map(({ name }) => name)).toEqual(['hash', 'shared', 'empty'])
    expect(idsFor(index, 'a')).toEqual(['good'])
  })
})
