/** Global set-up of the test project `cluster`: one API server for all its files. */
import path from 'node:path'
import type { TestProject } from 'vitest/node'
import { findKubectl } from './binaries.ts'
import { startApiServer } from './start-api-server.ts'

declare module 'vitest' {
  export interface ProvidedContext {
    /** YAML of a kubeconfig with administrator rights on the test's API server. */
    kubeConfig: string
    /** File of audit lines; empty where the cluster was given and its log is out of reach. */
    auditLog: string
    /** Program to call, of the release that the server is of. */
    kubectl: string
  }
}

export async function setup(project: TestProject): Promise<() => Promise<void>> {
  const root = path.resolve(import.meta.dirname, '../..')
  const kubectl = await findKubectl({
    moduleFolder: import.meta.dirname,
    cacheFolder: path.join(root, '.cache/control-plane'),
    environment: process.env,
    say: (line) => void process.stderr.write(`api server: ${line}\n`),
  })
  const server = await startApiServer({ root })
  project.provide('kubeConfig', server.kubeConfig.exportConfig())
  project.provide('kubectl', kubectl)
  project.provide('auditLog', server.auditLog ?? '')
  return () => server.stop()
}
