import { setImmediate as turn } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { KeyedQueue } from './keyed-queue.ts'

describe('a queue by key', () => {
  it('runs tasks of one key one after another and of others meanwhile', async () => {
    const queue = new KeyedQueue()
    const log: string[] = []
    const gate = Promise.withResolvers<void>()
    const first = queue.run('a', async () => {
      log.push('a1 begins')
      await gate.promise
      log.push('a1 ends')
      return 1
    })
    const second = queue.run('a', async () => {
      log.push('a2')
      return 2
    })
    const other = queue.run('b', async () => {
      log.push('b')
    })
    await other
    await turn()
    expect(log).toEqual(['a1 begins', 'b'])
    gate.resolve()
    expect(await Promise.all([first, second])).toEqual([1, 2])
    expect(log).toEqual(['a1 begins', 'b', 'a1 ends', 'a2'])
  })

  it('goes on after a task that failed', async () => {
    const queue = new KeyedQueue()
    const failed = queue.run('a', async () => {
      throw new Error('no')
    })
    const after = queue.run('a', async () => 'yes')
    await expect(failed).rejects.toThrow('no')
    expect(await after).toBe('yes')
  })
})
