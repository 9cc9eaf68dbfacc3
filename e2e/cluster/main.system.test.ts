import { chmodSync, existsSync } from 'node:fs'
import path from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { runProgram } from '../../test-support/run-program.ts'
import { makeTempDir, removeTempDir } from '../../test-support/temp-dir.ts'
import { unprivileged } from '../../test-support/unprivileged.ts'

const MAIN = path.join(import.meta.dirname, 'main.ts')

let folder: string
beforeEach(() => {
  folder = makeTempDir('cluster')
})
afterEach(() => removeTempDir(folder))

/** As somebody without rights, on a machine without docker and without a cluster. */
async function asNobody(args: readonly string[], env: NodeJS.ProcessEnv = {}) {
  chmodSync(folder, 0o777)
  const [command, all] = unprivileged(process.execPath, [MAIN, ...args])
  const state = { HUBLET_CLUSTER_STATE: path.join(folder, 'state'), DOCKER_HOST: `unix://${folder}/none` }
  const { code, stderr } = await runProgram(command, all, {
    env: { KUBECONFIG: '', ...state, ...env },
    timeoutMs: 60_000,
  })
  return { code, stderr }
}

it('a cluster that this user cannot have is refused with what is needed, and leaves nothing', async () => {
  const { code, stderr } = await asNobody(['up'])
  expect({ code, stderr }).toMatchObject({ code: 1 })
  expect(stderr).toMatch(/needs (root|Linux)/)
  expect(stderr).toContain('KUBECONFIG')
  expect(existsSync(path.join(folder, 'state'))).toBe(false)
})

it('a command for a cluster that is not up says how to bring it up', async () => {
  expect(await asNobody(['exec', '--', 'true'])).toEqual({
    code: 1,
    stderr: 'cluster: no cluster is up: make cluster-up\n',
  })
})

it('taking down what is not up is no failure', async () => {
  expect(await asNobody(['down'])).toEqual({ code: 0, stderr: 'cluster: nothing is up\n' })
})

it('an unknown command is told the ones that there are', async () => {
  expect(await asNobody(['upp'])).toMatchObject({ code: 2, stderr: expect.stringContaining('usage:') })
})

it('a cluster elsewhere has to be named before it is touched', async () => {
  const kubeConfig = path.join(import.meta.dirname, '../fixtures/elsewhere.kubeconfig')
  const { code, stderr } = await asNobody(['up'], { KUBECONFIG: kubeConfig })
  expect({ code, stderr }).toMatchObject({ code: 1 })
  expect(stderr).toContain('HUBLET_TEST_CONTEXT=production')
})
