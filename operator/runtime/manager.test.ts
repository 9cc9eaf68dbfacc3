import pino from 'pino'
import { expect, it } from 'vitest'
import { FakeClock, settle } from '../../test-support/fake-clock.ts'
import { Health } from './health.ts'
import { runManager } from './manager.ts'

it('ends within seconds though what is left to write gets no answer', async () => {
  const clock = new FakeClock()
  const stop = new AbortController()
  let isAsked = false
  const ended = runManager(
    {
      ...{ informers: [], controllers: [], health: new Health(), clock },
      logger: pino({ level: 'silent' }),
      beforeRelease: () => {
        isAsked = true
        return new Promise(() => {})
      },
    },
    stop.signal,
  )
  await settle()
  stop.abort()
  await settle()
  expect(isAsked).toBe(true)
  await clock.advance(5_000)
  expect(await ended).toBe('stopped')
})
