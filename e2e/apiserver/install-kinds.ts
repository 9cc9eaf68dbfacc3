import { readdir, readFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { parse } from 'yaml'
import { KINDS } from '../../crds/kinds.ts'
import { API_VERSION } from '../../crds/meta.ts'
import type { ApiClient } from '../../operator/runtime/api-client.ts'
import { resourcePath } from '../../operator/runtime/resource.ts'

const FOLDER = resolve(import.meta.dirname, '../../crds/manifests')
const CRDS = '/apis/apiextensions.k8s.io/v1/customresourcedefinitions'
const TIMEOUT_MS = 30_000

/** Installs the four kinds, or finds them installed; resolves when they are served. */
export async function installKinds(client: ApiClient): Promise<void> {
  for (const name of await readdir(FOLDER)) {
    const crd = parse(await readFile(join(FOLDER, name), 'utf8')) as { metadata: { name: string } }
    await client.request({
      method: 'PATCH',
      path: `${CRDS}/${crd.metadata.name}`,
      query: { fieldManager: 'bench', force: true },
      contentType: 'application/apply-patch+yaml',
      body: crd,
    })
  }
  const deadline = performance.now() + TIMEOUT_MS
  for (const { plural, kind } of KINDS) {
    const path = resourcePath({ apiVersion: API_VERSION, kind, plural, namespaced: true })
    while (!(await isServed(client, path))) {
      if (performance.now() > deadline) throw new Error(`${plural} are not served within ${TIMEOUT_MS} ms`)
      await delay(100)
    }
  }
}

async function isServed(client: ApiClient, path: string): Promise<boolean> {
  try {
    await client.request({ method: 'GET', path })
    return true
  } catch {
    return false
  }
}
