/** Global set-up of the test project `node`: the cluster of `make cluster-up`, and the kinds installed by their chart. */
import { readFile } from 'node:fs/promises'
import path from 'node:path'
import type { TestProject } from 'vitest/node'
import { findKubectl } from '../apiserver/binaries.ts'
import { ROOT, readState } from '../cluster/state.ts'
import { installKinds } from './release.ts'

declare module 'vitest' {
  export interface ProvidedContext {
    /** Path of the kubeconfig, for programs. */
    kubeConfigFile: string
    image: string
    /** That of the charts before; `image` where there is none to be had. */
    previousImage: string
    /** Of managed Redis; empty: what the chart says. */
    redisImage: string
  }
}

export async function setup(project: TestProject): Promise<void> {
  const state = await readState()
  if (state === undefined) throw new Error('no cluster is up: make cluster-up, or make e2e')
  const tools = {
    moduleFolder: path.join(ROOT, 'e2e/apiserver'),
    cacheFolder: path.join(ROOT, '.cache/control-plane'),
    environment: process.env,
    say: (line: string) => void process.stderr.write(`cluster: ${line}\n`),
  }
  project.provide('kubeConfig', await readFile(state.kubeConfig, 'utf8'))
  project.provide('kubeConfigFile', state.kubeConfig)
  project.provide('kubectl', await findKubectl(tools))
  project.provide('auditLog', state.auditLog ?? '')
  project.provide('image', state.image)
  project.provide('previousImage', state.previousImage ?? state.image)
  project.provide('redisImage', state.redisImage ?? '')
  await installKinds(state.kubeConfig)
}
