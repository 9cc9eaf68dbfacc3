import { describe, expect, it } from 'vitest'
import { frameLimit } from './guarded-pool.ts'

const answer = (length: number) => {
  const bytes = Buffer.alloc(4 + length, 0xff)
  bytes.writeUInt32BE(length)
  return bytes
}

describe('the limit of an answer of a Kafka broker', () => {
  it.each([1, 3, 7, 1_000])('is kept by answers of any number, cut into pieces of %i', (size) => {
    const isTooLong = frameLimit(10)
    const all = Buffer.concat([answer(10), answer(0), answer(3), answer(10)])
    for (let at = 0; at < all.length; at += size) expect(isTooLong(all.subarray(at, at + size))).toBe(false)
  })

  it('is passed as soon as one says that it is longer', () => {
    const isTooLong = frameLimit(10)
    expect(isTooLong(Buffer.concat([answer(10), answer(11).subarray(0, 3)]))).toBe(false)
    expect(isTooLong(answer(11).subarray(3, 4))).toBe(true)
  })
})
