import path from 'node:path'

/** What vitest's JSON reporter writes, as far as it matters here. */
export interface Report {
  numPassedTests: number
  numFailedTests: number
  numPendingTests: number
  /** One a file; `name` is its absolute path. */
  testResults: ReadonlyArray<{ name: string; status: string }>
}

/** More files than this fail by no accident. */
export const MAX_AGAIN = 3

/**
 * The files that may run once more, alone, after a run that failed: relative to `root`. Empty where a second run could
 * clear nothing: a unit test has failed, which depends on nothing but our code, or too many, or no test at all but
 * something around them.
 */
export function filesToRunAgain({ testResults }: Report, root: string): string[] {
  const failed = testResults
    .filter(({ status }) => status === 'failed')
    .map(({ name }) => path.relative(root, name))
  const isBound = failed.length <= MAX_AGAIN && failed.every(needsMore)
  return isBound ? failed : []
}

const needsMore = (file: string): boolean => /\.(system|cluster|node)\.test\.ts$/.test(file)
