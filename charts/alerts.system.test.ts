import path from 'node:path'
import { expect, it } from 'vitest'
import { runProgram } from '../test-support/run-program.ts'

const CHART = path.join(import.meta.dirname, 'hublet')

it('the alerts are read by Prometheus, fire when they have to, and not for a quiet hub', async () => {
  const promtool = async (args: readonly string[]) =>
    await runProgram('promtool', args, { cwd: path.join(CHART, 'ci'), timeoutMs: 60_000 })
  const check = await promtool(['check', 'rules', '../files/alerts.yaml'])
  expect(check).toMatchObject({ code: 0, stderr: '' })
  const test = await promtool(['test', 'rules', 'alerts-test.yaml'])
  expect({ code: test.code, text: `${test.stdout}${test.stderr}` }).toMatchObject({
    code: 0,
    text: expect.stringContaining('SUCCESS'),
  })
})
