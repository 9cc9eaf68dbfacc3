/** Writes what became of a run of vitest into the file that `HUBLET_TEST_REPORT` names. */
import { writeFileSync } from 'node:fs'
import type { Reporter, SerializedError, TestModule } from 'vitest/node'
import type { Report } from './run-again.ts'

export const REPORT_FILE = 'HUBLET_TEST_REPORT'

export default class RunReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[], errors: readonly SerializedError[]): void {
    const file = process.env[REPORT_FILE]
    if (file === undefined) return
    const count = (state: 'passed' | 'failed' | 'skipped') =>
      modules.reduce((sum, { children }) => sum + Array.from(children.allTests(state)).length, 0)
    const report: Report = {
      passed: count('passed'),
      failed: count('failed'),
      skipped: count('skipped'),
      failedFiles: [...new Set(modules.filter((one) => !one.ok()).map(({ moduleId }) => moduleId))],
      otherErrors: errors.length,
    }
    writeFileSync(file, JSON.stringify(report))
  }
}
