import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { findBinaries, findKubectl, pinnedVersions } from './binaries.ts'
import { startApiServer } from './start-api-server.ts'

const ROOT = path.resolve(import.meta.dirname, '../..')

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'hublet-start-'))
})
afterEach(async () => {
  vi.unstubAllEnvs()
  await rm(folder, { recursive: true, force: true })
})

const kubeconfig = (server: string) =>
  JSON.stringify({
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [{ name: 'c', cluster: { server } }],
    users: [{ name: 'u', user: { token: 't' } }],
    contexts: [{ name: 'somewhere', context: { cluster: 'c', user: 'u' } }],
    'current-context': 'somewhere',
  })

describe('a given KUBECONFIG', () => {
  async function startWith(server: string, environment: Record<string, string> = {}) {
    const file = path.join(folder, 'config')
    await writeFile(file, kubeconfig(server))
    vi.stubEnv('KUBECONFIG', file)
    return startApiServer({ root: ROOT, environment: { KUBECONFIG: file, ...environment } })
  }

  it('is used when its server is on this machine', async () => {
    const server = await startWith('https://127.0.0.1:6443')
    expect(server.kubeConfig.getCurrentCluster()?.server).toBe('https://127.0.0.1:6443')
    expect(server.auditLog).toBeUndefined()
  })

  it('is refused when it points elsewhere, unless the context is named', async () => {
    await expect(startWith('https://prod.example.com')).rejects.toThrow(
      'KUBECONFIG points at https://prod.example.com; the tests would write to it. Set HUBLET_TEST_CONTEXT=somewhere',
    )
    await expect(startWith('https://prod.example.com', { HUBLET_TEST_CONTEXT: 'other' })).rejects.toThrow()
    const server = await startWith('https://prod.example.com', { HUBLET_TEST_CONTEXT: 'somewhere' })
    expect(server.source).toBe('KUBECONFIG (context somewhere)')
  })
})

describe('the binaries', () => {
  it('are looked for in KUBEBUILDER_ASSETS first, and nowhere else when that is set', async () => {
    const looking = findBinaries({
      moduleFolder: import.meta.dirname,
      cacheFolder: folder,
      environment: { KUBEBUILDER_ASSETS: folder },
      say: () => {},
    })
    await expect(looking).rejects.toThrow(
      `KUBEBUILDER_ASSETS is ${folder}, which does not hold etcd and kube-apiserver`,
    )
  })

  it('of another age are refused', async () => {
    for (const name of ['etcd', 'kube-apiserver']) {
      await writeFile(path.join(folder, name), '#!/bin/sh\necho Kubernetes v1.32.9\n', { mode: 0o755 })
    }
    const looking = findBinaries({
      moduleFolder: import.meta.dirname,
      cacheFolder: folder,
      environment: { KUBEBUILDER_ASSETS: folder },
      say: () => {},
    })
    await expect(looking).rejects.toThrow(`kube-apiserver in ${folder} is older than 1.33`)
  })

  it('are pinned in go.mod, and all parts of Kubernetes at one release', async () => {
    const goMod = await readFile(path.join(import.meta.dirname, 'go.mod'), 'utf8')
    const { kubernetes, etcd } = pinnedVersions(goMod)
    expect(kubernetes).toMatch(/^v1\.\d+\.\d+$/)
    expect(etcd).toMatch(/^v3\.\d+\.\d+$/)
    const parts = [...goMod.matchAll(/=> (k8s\.io\/\S+) (v0\S+)/g)].map(([, , version]) => version)
    expect(parts.length).toBeGreaterThan(20)
    expect(new Set(parts)).toEqual(new Set([kubernetes.replace('v1.', 'v0.')]))
  })

  it('cannot be taken from a go.mod that pins none', () => {
    expect(() => pinnedVersions('module x\n')).toThrow('go.mod names no version of k8s.io/kubernetes')
  })
})

describe('kubectl', () => {
  const find = (environment: Record<string, string>) =>
    findKubectl({ moduleFolder: import.meta.dirname, cacheFolder: folder, environment, say: () => {} })
  const install = (minor: number) =>
    writeFile(
      path.join(folder, 'kubectl'),
      `#!/bin/sh\necho '{"clientVersion":{"gitVersion":"v1.${minor}.0"}}'\n`,
      { mode: 0o755 },
    )

  it('is the one that KUBECTL names', async () => {
    expect(await find({ KUBECTL: '/some/kubectl', KUBEBUILDER_ASSETS: folder })).toBe('/some/kubectl')
  })

  it('comes with the binaries of envtest', async () => {
    await install(33)
    expect(await find({ KUBEBUILDER_ASSETS: folder })).toBe(path.join(folder, 'kubectl'))
  })

  it('of another age is passed over, and without Go it is said what to do', async () => {
    await install(32)
    vi.stubEnv('PATH', folder)
    vi.stubEnv('HOME', folder)
    await expect(find({ KUBEBUILDER_ASSETS: folder })).rejects.toThrow(
      'no kubectl found: set KUBECTL to one of 1.33 or later, or install Go',
    )
  })
})
