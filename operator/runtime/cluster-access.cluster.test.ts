import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { rootCertificates } from 'node:tls'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { adminConfig } from '../../test-support/cluster.ts'
import { FakeClock } from '../../test-support/fake-clock.ts'
import { createApiClient } from './api-client.ts'
import { loadClusterAccess } from './cluster-access.ts'

const admin = adminConfig()
const cluster = admin.getCurrentCluster()!
const server = new URL(cluster.server)
const token = admin.getCurrentUser()?.token

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'hublet-access-'))
})
afterEach(() => rm(folder, { recursive: true, force: true }))

// A cluster that was given may let in by a client certificate, which no pod has.
describe.skipIf(!token || !cluster.caData)('the access of a pod', () => {
  const environment = { KUBERNETES_SERVICE_HOST: server.hostname, KUBERNETES_SERVICE_PORT: server.port }

  async function mount(value: string): Promise<void> {
    await writeFile(path.join(folder, 'token'), `${value}\n`)
    await writeFile(path.join(folder, 'ca.crt'), Buffer.from(cluster.caData!, 'base64'))
    await writeFile(path.join(folder, 'namespace'), 'iot\n')
  }

  it('is let in by token and CA from the mounted files, in the namespace of the pod', async () => {
    await mount(token!)
    const { access, namespace } = await loadClusterAccess({
      environment,
      clock: new FakeClock(),
      serviceAccountFolder: folder,
    })
    expect(namespace).toBe('iot')
    const client = createApiClient({ kubeConfig: access })
    const { body } = await client.request<{ kind: string }>({ method: 'GET', path: '/api/v1/namespaces' })
    expect(body.kind).toBe('NamespaceList')
    client.close()
  })

  it('takes a renewed token within a minute', async () => {
    await mount('expired')
    const clock = new FakeClock()
    const { access } = await loadClusterAccess({ environment, clock, serviceAccountFolder: folder })
    const client = createApiClient({ kubeConfig: access })
    const ask = () => client.request({ method: 'GET', path: '/api/v1/namespaces' })
    await expect(ask()).rejects.toMatchObject({ status: 401 })
    await mount(token!)
    await clock.advance(61_000)
    expect((await ask()).status).toBe(200)
    client.close()
  })

  it('does not trust a server with another certificate', async () => {
    await mount(token!)
    await writeFile(path.join(folder, 'ca.crt'), rootCertificates[0]!)
    const { access } = await loadClusterAccess({
      environment,
      clock: new FakeClock(),
      serviceAccountFolder: folder,
    })
    const client = createApiClient({ kubeConfig: access })
    await expect(client.request({ method: 'GET', path: '/api' })).rejects.toMatchObject({
      name: 'TransportError',
    })
    client.close()
  })

  it('names the file that is missing', async () => {
    const loading = loadClusterAccess({ environment, clock: new FakeClock(), serviceAccountFolder: folder })
    await expect(loading).rejects.toThrow(/namespace/)
  })
})
