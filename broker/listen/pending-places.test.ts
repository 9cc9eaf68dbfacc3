import { Socket } from 'node:net'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { type DropReason, PendingPlaces, type Place } from './pending-places.ts'

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] })
})
afterEach(() => {
  vi.useRealTimers()
})

function places(limit: number, timeoutMs = 1_000) {
  const drops: Array<[string, DropReason]> = []
  const bound = { limit }
  const pending = new PendingPlaces({
    limit: () => bound.limit,
    timeoutMs,
    onDrop: (place, reason) => drops.push([place.address, reason]),
    now: () => performance.now(),
  })
  const take = (address: string) => pending.take(new Socket(), address)
  return { pending, drops, bound, take }
}

const alive = (all: readonly Place[]) =>
  all.filter(({ socket }) => !socket.destroyed).map(({ address }) => address)

describe('pending places', () => {
  it('are given up to the limit; beyond it the socket that waited longest is destroyed', () => {
    const { pending, drops, take } = places(2)
    const all = ['a', 'b', 'c'].map(take)
    expect(drops).toEqual([['a', 'PushedOut']])
    expect(alive(all)).toEqual(['b', 'c'])
    expect(pending.size).toBe(2)
    expect(all.map((place) => place.dropped)).toEqual([true, false, false])
  })

  it('that are left make room, may be left twice, and are never dropped', () => {
    const { pending, drops, take } = places(2)
    const [a] = ['a', 'b'].map(take)
    a?.leave()
    a?.leave()
    take('c')
    expect(drops).toEqual([])
    expect(a?.held).toBe(false)
    vi.advanceTimersByTime(1_000)
    expect(drops).toEqual([
      ['b', 'Late'],
      ['c', 'Late'],
    ])
    expect(a?.socket.destroyed).toBe(false)
    expect(pending.size).toBe(0)
  })

  it('expire each at their own time, with one timer for all', () => {
    const { drops, take } = places(100)
    take('a')
    vi.advanceTimersByTime(400)
    take('b')
    expect(vi.getTimerCount()).toBe(1)
    vi.advanceTimersByTime(599)
    expect(drops).toEqual([])
    vi.advanceTimersByTime(1)
    expect(drops).toEqual([['a', 'Late']])
    vi.advanceTimersByTime(399)
    expect(drops).toHaveLength(1)
    vi.advanceTimersByTime(1)
    expect(drops).toEqual([
      ['a', 'Late'],
      ['b', 'Late'],
    ])
    expect(vi.getTimerCount()).toBe(0)
  })

  it('follow a limit that falls as soon as they are told', () => {
    const { pending, drops, bound, take } = places(3)
    for (const name of ['a', 'b', 'c']) take(name)
    bound.limit = 1
    pending.trim()
    expect(drops.map(([name]) => name)).toEqual(['a', 'b'])
  })

  it('keep one even at a limit of 0, or nobody could connect', () => {
    const { drops, take } = places(0)
    const only = take('a')
    expect(only.held).toBe(true)
    take('b')
    expect(drops).toEqual([['a', 'PushedOut']])
  })

  it('without a time-out set no timer, and a renewed one is the youngest', () => {
    const { drops, take } = places(2, Number.POSITIVE_INFINITY)
    const a = take('a')
    take('b')
    a.renew()
    take('c')
    expect(vi.getTimerCount()).toBe(0)
    expect(drops).toEqual([['b', 'PushedOut']])
  })

  it('that were left can not be renewed', () => {
    const { pending, take } = places(2)
    const a = take('a')
    a.leave()
    a.renew()
    expect(pending.size).toBe(0)
  })

  it('end without a word when the listeners close', () => {
    const { pending, drops, take } = places(10)
    const all = ['a', 'b'].map(take)
    pending.close()
    expect(alive(all)).toEqual([])
    expect(drops).toEqual([])
    expect(vi.getTimerCount()).toBe(0)
  })
})
