import { beforeEach, describe, expect, it } from 'vitest'
import { device } from '../../test-support/hub-state.ts'
import { DeviceCache } from './device-cache.ts'
import { DeviceLookups } from './device-lookups.ts'

const managed = (...fingerprints: string[]) => ({ source: 'Managed' as const, fingerprints })
const [a, b, c] = ['a', 'b', 'c'].map((id) =>
  device({ id, name: `n-${id}`, certificate: managed(`f-${id}`) }),
)

describe('DeviceCache', () => {
  let now: number
  let cache: DeviceCache

  beforeEach(() => {
    now = 0
    cache = new DeviceCache({ records: 2, absences: 2, absenceMs: 100 }, () => now)
  })

  it('forgets the record that was not asked for the longest, with all its keys', () => {
    cache.put(a!)
    cache.put(b!)
    cache.find('fingerprint', 'f-a')
    cache.put(c!)
    expect([...cache.ids()]).toEqual(['a', 'c'])
    expect(cache.find('name', 'n-b')).toBeUndefined()
    expect(cache.find('fingerprint', 'f-b')).toBeUndefined()
  })

  it('keeps the very object of a record that comes again unchanged', () => {
    cache.put(a!)
    expect(cache.put(structuredClone(a!))).toBe(a)
    expect(cache.put({ ...a!, enabled: false })).not.toBe(a)
    expect(cache.find('id', 'a')).toHaveProperty('enabled', false)
  })

  it('leaves a name and a certificate to the device that took them over', () => {
    cache.put(a!)
    const heir = { ...b!, name: 'n-a', certificate: managed('f-a') }
    cache.put(heir)
    cache.forget('a')
    expect(cache.find('name', 'n-a')).toBe(heir)
    expect(cache.find('fingerprint', 'f-a')).toBe(heir)
  })

  it('remembers what is not there, for a while and up to a bound', () => {
    cache.putAbsent('name', 'x')
    expect(cache.find('name', 'x')).toBeNull()
    expect(cache.find('id', 'x')).toBeUndefined()
    now = 100
    expect(cache.find('name', 'x')).toBeUndefined()
    for (const name of ['p', 'q', 'r']) cache.putAbsent('name', name)
    expect(['p', 'q', 'r'].map((name) => cache.find('name', name))).toEqual([undefined, null, null])
    cache.forgetAbsences()
    expect(cache.find('name', 'r')).toBeUndefined()
  })
})

describe('DeviceLookups', () => {
  /** A reader whose answers are given by hand. */
  function lookups() {
    const asked: ReturnType<typeof Promise.withResolvers<typeof a>>[] = []
    const cache = new DeviceCache({ records: 10, absences: 10, absenceMs: 100 }, () => 0)
    const read = () => {
      const answer = Promise.withResolvers<typeof a>()
      asked.push(answer)
      return answer.promise
    }
    return { asked, cache, lookups: new DeviceLookups(cache, read) }
  }
  const turn = () => new Promise(setImmediate)

  it('reads again what a change has overtaken', async () => {
    const { asked, lookups: it } = lookups()
    const found = it.find('name', 'n-a')
    it.invalidate(['a'])
    asked[0]!.resolve(a)
    await turn()
    const newer = { ...a!, enabled: false }
    asked[1]!.resolve(newer)
    expect(await found).toBe(newer)
  })

  it('takes an answer that a change of another device has crossed', async () => {
    const { asked, lookups: it } = lookups()
    const found = it.find('name', 'n-a')
    it.invalidate(['b'])
    asked[0]!.resolve(a)
    expect(await found).toBe(a)
  })

  it('reads again what was not there when any device changed meanwhile', async () => {
    const { asked, lookups: it } = lookups()
    const found = it.find('fingerprint', 'f-a')
    it.invalidate(['b'])
    asked[0]!.resolve(undefined)
    await turn()
    asked[1]!.resolve(a)
    expect(await found).toBe(a)
  })

  it('reads again after everything was read anew', async () => {
    const { asked, lookups: it } = lookups()
    const found = it.find('id', 'a')
    it.invalidateAll()
    asked[0]!.resolve(a)
    await turn()
    asked[1]!.resolve(a)
    expect(await found).toBe(a)
  })

  it('gives up on a device that never stands still', async () => {
    const { asked, lookups: it } = lookups()
    const refused = it.find('id', 'a').catch((error: unknown) => error)
    for (let i = 0; i < 10; i += 1) {
      it.invalidate(['a'])
      asked[i]!.resolve(a)
      await turn()
    }
    expect(await refused).toMatchObject({ code: 'REDIS_UNAVAILABLE', fault: 'CHANGING' })
  })

  it('tells everyone who waits of a failed read, and reads again for the next', async () => {
    const { asked, lookups: it } = lookups()
    const waiting = [it.find('id', 'a'), it.find('id', 'a')]
    expect(asked).toHaveLength(1)
    asked[0]!.reject(new Error('gone'))
    for (const { status } of await Promise.allSettled(waiting)) expect(status).toBe('rejected')
    const again = it.find('id', 'a')
    asked[1]!.resolve(a)
    expect(await again).toBe(a)
  })
})
