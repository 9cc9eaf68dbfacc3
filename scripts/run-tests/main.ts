/**
 * Runs vitest, and files that have failed once more, alone: `node scripts/run-tests/main.ts unit system cluster`.
 *
 * Tests with servers, sockets and files depend on the machine too: on a full one an answer may take longer than a test
 * waits.
 * A fault of ours fails again when its file runs alone. A file that then passes is named at the end: it hides a race, or
 * a limit that is too tight.
 */
import { spawn } from 'node:child_process'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { REPORT_FILE } from './reporter.ts'
import { filesToRunAgain, type Report } from './run-again.ts'

const ROOT = path.resolve(import.meta.dirname, '../..')
const REPORTER = path.join(import.meta.dirname, 'reporter.ts')
const VITEST = path.join(ROOT, 'node_modules/vitest/vitest.mjs')

interface Run {
  code: number
  /** undefined: vitest did not come so far. */
  report: Report | undefined
}

async function vitest(projects: readonly string[], files: readonly string[], folder: string): Promise<Run> {
  const outputFile = path.join(folder, 'report.json')
  await rm(outputFile, { force: true })
  const reporters = ['--reporter=default', `--reporter=${REPORTER}`]
  const selection = projects.flatMap((project) => ['--project', project])
  const child = spawn(process.execPath, [VITEST, 'run', ...reporters, ...selection, ...files], {
    cwd: ROOT,
    env: { ...process.env, [REPORT_FILE]: outputFile },
    stdio: 'inherit',
  })
  const { promise, resolve, reject } = Promise.withResolvers<number>()
  child.once('error', reject)
  child.once('exit', (code) => resolve(code ?? 1))
  const code = await promise
  const text = await readFile(outputFile, 'utf8').catch(() => undefined)
  return { code, report: text === undefined ? undefined : (JSON.parse(text) as Report) }
}

async function runTests(projects: readonly string[], folder: string): Promise<number> {
  const { code, report } = await vitest(projects, [], folder)
  const files = code === 0 || report === undefined ? [] : filesToRunAgain(report, ROOT)
  if (report === undefined || files.length === 0) return code
  console.error(`\nhublet: once more, alone: ${files.join(' ')}\n`)
  const second = await vitest(projects, files, folder)
  if (second.code !== 0) return second.code
  const { passed, skipped, failed } = report
  console.error(
    `hublet: ${passed} passed, ${skipped} skipped; ${failed} failed at first, and passed when these files ran alone: ` +
      files.join(' '),
  )
  return 0
}

const folder = await mkdtemp(path.join(tmpdir(), 'hublet-run-tests-'))
try {
  process.exitCode = await runTests(process.argv.slice(2), folder)
} finally {
  await rm(folder, { recursive: true, force: true })
}
