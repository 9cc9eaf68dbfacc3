import path from 'node:path'
import { expect, it } from 'vitest'
import { ROOT } from '../../operator/operator.fixture.ts'
import { runProgram } from '../../test-support/run-program.ts'
import { findTool } from '../helm/find-tool.ts'

const PRODUCTION = path.join(ROOT, 'examples/gitops/production')

it(
  'the example repository passes the check that its pipeline makes',
  async () => {
    const built = await runProgram(await findTool('kustomize'), ['build', PRODUCTION], { timeoutMs: 60_000 })
    expect(built.stderr).toBe('')
    const args = ['cli/main.ts', 'validate', '-f', '-', '--skip-other-kinds', '--strict', '-o', 'json']
    const { code, stdout } = await runProgram(process.execPath, args, {
      cwd: ROOT,
      input: built.stdout,
      timeoutMs: 60_000,
    })
    expect({ code, report: JSON.parse(stdout.toString()) }).toMatchObject({
      code: 0,
      report: { valid: true, objects: { Hub: 1, Device: 2 } },
    })
  },
  // A kustomize that has to be built takes a few minutes.
  20 * 60_000,
)
