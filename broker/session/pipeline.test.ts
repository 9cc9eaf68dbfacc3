import { setImmediate as turn } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { Pipeline } from './pipeline.ts'

function setUp() {
  const faults: unknown[] = []
  let shrinks = 0
  const pipeline = new Pipeline<string>({
    onFault: (error) => faults.push(error),
    onShrink: () => {
      shrinks += 1
    },
  })
  const done: string[] = []
  return { pipeline, faults, done, note: (text: string) => done.push(text), shrinks: () => shrinks }
}

describe('a pipeline', () => {
  it('completes at once what waits for nothing', () => {
    const { pipeline, done, note } = setUp()
    pipeline.add('1', note)
    pipeline.add('2', note)
    expect(done).toEqual(['1', '2'])
    expect(pipeline.size).toBe(0)
  })

  it('lets nothing overtake what is awaited', async () => {
    const { pipeline, done, note } = setUp()
    const first = Promise.withResolvers<string>()
    const third = Promise.withResolvers<string>()
    pipeline.add(first.promise, note)
    pipeline.add('2', note)
    pipeline.add(third.promise, note)
    pipeline.add('4', note)
    third.resolve('3')
    await turn()
    expect(done).toEqual([])
    first.resolve('1')
    await turn()
    expect(done).toEqual(['1', '2', '3', '4'])
  })

  it('tells when it has become shorter', async () => {
    const { pipeline, note, shrinks } = setUp()
    pipeline.add(Promise.resolve('1'), note)
    expect(pipeline.size).toBe(1)
    await turn()
    expect(pipeline.size).toBe(0)
    expect(shrinks()).toBe(1)
  })

  it('completes nothing after the first fault, and tells of one', async () => {
    const { pipeline, done, note, faults } = setUp()
    pipeline.add(Promise.reject(new Error('full')), note)
    pipeline.add('2', note)
    pipeline.add(Promise.reject(new Error('still full')), note)
    await turn()
    pipeline.add('4', note)
    expect(done).toEqual([])
    expect(faults).toEqual([new Error('full')])
  })
})
