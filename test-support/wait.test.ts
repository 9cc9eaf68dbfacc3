import { expect, it } from 'vitest'
import { waitUntil, within } from './wait.ts'

const SHORT = { timeoutMs: 60, intervalMs: 5 }

it('a wait in vain shows the last error of its check, also when nothing was thrown since', async () => {
  let looks = 0
  const check = () => {
    looks += 1
    if (looks < 3) throw new Error(`look ${looks} failed`)
    return undefined
  }
  await expect(waitUntil('the moon', check, SHORT)).rejects.toThrow(
    'the moon: not within 60 ms; last error: look 2 failed',
  )
  expect(looks).toBeGreaterThan(3)
})

it('a wait in vain without an error says what it waited for', async () => {
  await expect(waitUntil('the moon', () => false, SHORT)).rejects.toThrow(/^the moon: not within 60 ms$/)
})

it('a wait looks once more when its time is over, however late it is woken', async () => {
  let looks = 0
  const check = () => {
    looks += 1
    if (looks === 2) return 'there'
    // As a process does that the machine lets wait.
    for (const until = performance.now() + 100; performance.now() < until; );
    return undefined
  }
  expect(await waitUntil('the moon', check, SHORT)).toBe('there')
})

it('a promise that takes too long is told by what it was for', async () => {
  await expect(within('the tide', 20, new Promise(() => {}))).rejects.toThrow('the tide: not within 20 ms')
})
