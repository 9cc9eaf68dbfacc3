import { describe, expect, it } from 'vitest'
import { filesToRunAgain, MAX_AGAIN } from './run-again.ts'

const again = (failed: readonly string[]): string[] => {
  const results = [
    { name: '/repo/a.system.test.ts', status: 'passed' },
    ...failed.map((name) => ({ name, status: 'failed' })),
  ]
  return filesToRunAgain(
    { numPassedTests: 1, numFailedTests: failed.length, numPendingTests: 0, testResults: results },
    '/repo',
  )
}

describe('after a run of tests that failed', () => {
  it('a file with a real server gets a second chance', () => {
    expect(again(['/repo/e2e/b.system.test.ts', '/repo/c.cluster.test.ts'])).toEqual([
      'e2e/b.system.test.ts',
      'c.cluster.test.ts',
    ])
  })

  it('a unit test gets none, nor what failed beside it', () => {
    expect(again(['/repo/b.test.ts', '/repo/c.system.test.ts'])).toEqual([])
  })

  it('many files get none', () => {
    expect(again(Array.from({ length: MAX_AGAIN + 1 }, (_, i) => `/repo/${i}.system.test.ts`))).toEqual([])
  })

  it('nothing runs again where no test has failed', () => {
    expect(again([])).toEqual([])
  })
})
