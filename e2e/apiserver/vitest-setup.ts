/** Global set-up of the test project `cluster`: one API server for all its files. */
import path from 'node:path'
import type { TestProject } from 'vitest/node'
import { startApiServer } from './start-api-server.ts'

declare module 'vitest' {
  export interface ProvidedContext {
    /** YAML of a kubeconfig with administrator rights on the test's API server. */
    kubeConfig: string
    /** File of audit lines; empty where the cluster was given and its log is out of reach. */
    auditLog: string
  }
}

export async function setup(project: TestProject): Promise<() => Promise<void>> {
  const server = await startApiServer({ root: path.resolve(import.meta.dirname, '../..') })
  project.provide('kubeConfig', server.kubeConfig.exportConfig())
  project.provide('auditLog', server.auditLog ?? '')
  return () => server.stop()
}
