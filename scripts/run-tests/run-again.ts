import path from 'node:path'

/** What became of a run of vitest. */
export interface Report {
  passed: number
  failed: number
  skipped: number
  /** Absolute paths. */
  failedFiles: string[]
  /** Faults that no test has caught, such as a rejection nobody waits for. */
  otherErrors: number
}

/** More files than this fail by no accident. */
export const MAX_AGAIN = 3

/**
 * The files that may run once more, alone, after a run that failed: relative to `root`. Empty where a second run could
 * clear nothing: too many have failed, or something beside tests.
 */
export function filesToRunAgain({ failedFiles, otherErrors }: Report, root: string): string[] {
  const failed = failedFiles.map((file) => path.relative(root, file))
  const isBound = otherErrors === 0 && failed.length <= MAX_AGAIN
  return isBound ? failed : []
}
