/** What the tests of this folder take from Go modules: the judges of GitOps tools, the CRDs of the Gateway API. */
import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import path from 'node:path'
import { promisify } from 'node:util'
import type { KubeObject } from '../../operator/runtime/resource.ts'
import { runProgram } from '../../test-support/run-program.ts'
import { goBuild } from '../go-build.ts'

const run = promisify(execFile)
const ROOT = path.resolve(import.meta.dirname, '../..')
const GATEWAY_API = 'sigs.k8s.io/gateway-api'
const DOWNLOAD_LIMIT_MS = 120_000

export interface Judgement {
  status: string
  message: string
}

export type Judge = (objects: readonly KubeObject[]) => Promise<Judgement[]>

/** Flux's kstatus, and Argo CD's interpreter with one of its health checks. Built the first time, in about a minute. */
export async function findJudges(healthCheck: string): Promise<{ kstatus: Judge; argo: Judge }> {
  const program = await buildDriver()
  const judge =
    (...args: string[]): Judge =>
    async (objects) => {
      const result = await runProgram(program, args, { input: JSON.stringify(objects) })
      if (result.code !== 0) throw new Error(result.stderr)
      return JSON.parse(result.stdout.toString()) as Judgement[]
    }
  return { kstatus: judge('kstatus'), argo: judge('lua', healthCheck) }
}

async function buildDriver(): Promise<string> {
  const hash = createHash('sha256')
  for (const name of ['go.sum', 'driver/main.go'])
    hash.update(await readFile(path.join(import.meta.dirname, name)))
  const version = hash.digest('hex').slice(0, 12)
  return await goBuild({
    folder: import.meta.dirname,
    source: './driver',
    file: path.join(ROOT, `.cache/gitops/driver-${version}-${process.platform}-${process.arch}`),
    instead: 'the judges of GitOps tools are built with Go 1.26 or later, which is missing here',
  })
}

/** The folder of the standard CRDs of the Gateway API, as its module carries them. */
export async function gatewayApiCrds(): Promise<string> {
  const options = { cwd: import.meta.dirname, timeout: DOWNLOAD_LIMIT_MS }
  await run('go', ['mod', 'download', GATEWAY_API], options)
  const { stdout } = await run('go', ['list', '-m', '-f', '{{.Dir}}', GATEWAY_API], options)
  return path.join(stdout.trim(), 'config/crd/standard')
}
