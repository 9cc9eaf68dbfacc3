import { expect, test } from 'vitest'
import { messageIds } from './message-id.ts'

test('Ids of messages are UUIDs of version 7 that begin with their time', () => {
  const id = messageIds(() => 0x0123456789ab)()
  expect(id).toMatch(/^01234567-89ab-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
})

test('Ids of messages are different within a millisecond and between brokers', () => {
  const [one, other] = [messageIds(() => 1), messageIds(() => 1)]
  const ids = Array.from({ length: 5000 }, () => [one(), other()]).flat()
  expect(new Set(ids).size).toBe(10_000)
  // No bit that should be random stands still.
  const tails = ids.map((id) => BigInt(`0x${id.slice(-12)}`))
  expect(tails.reduce((all, tail) => all | tail)).toBe(0xffffffffffffn)
  expect(tails.reduce((all, tail) => all & tail)).toBe(0n)
})
