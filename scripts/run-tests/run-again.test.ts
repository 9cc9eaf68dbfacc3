import { describe, expect, it } from 'vitest'
import { filesToRunAgain, MAX_AGAIN } from './run-again.ts'

const again = (failedFiles: string[], otherErrors = 0): string[] =>
  filesToRunAgain({ passed: 1, failed: failedFiles.length, skipped: 0, failedFiles, otherErrors }, '/repo')

describe('after a run of tests that failed', () => {
  it('a few files get a second chance', () => {
    expect(again(['/repo/e2e/b.system.test.ts', '/repo/c.test.ts'])).toEqual([
      'e2e/b.system.test.ts',
      'c.test.ts',
    ])
  })

  it('many files get none', () => {
    expect(again(Array.from({ length: MAX_AGAIN + 1 }, (_, i) => `/repo/${i}.system.test.ts`))).toEqual([])
  })

  it('no file gets one where something has failed that no test has caught', () => {
    expect(again(['/repo/b.system.test.ts'], 1)).toEqual([])
  })

  it('nothing runs again where no test has failed', () => {
    expect(again([])).toEqual([])
  })
})
