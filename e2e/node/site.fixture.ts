import { writeFileSync } from 'node:fs'
import path from 'node:path'
import { inject } from 'vitest'
import {
  CONFIG_MAPS,
  type ConfigMap,
  DEVICES,
  HUBS,
  NETWORKS,
  ROUTES,
  SECRETS,
  type Secret,
} from '../../operator/api/resources.ts'
import { applyManifest, ROOT, textOf, untilReady } from '../../operator/operator.fixture.ts'
import type { KubeObject, Resource } from '../../operator/runtime/resource.ts'
import { TestNamespace } from '../../test-support/cluster.ts'
import { Kubectl } from '../../test-support/kubectl.ts'
import { makeTempDir, removeTempDir } from '../../test-support/temp-dir.ts'
import { waitUntil } from '../../test-support/wait.ts'
import { CHARTS } from '../helm/helm.ts'
import { helm } from './release.ts'

export const PODS: Resource = { apiVersion: 'v1', kind: 'Pod', plural: 'pods', namespaced: true }
/** Pods come up and move within this, on two cores that do other things too. */
export const POD_MS = 180_000

/** Pod and container of a test's own, as the namespaces here demand them. */
export const RESTRICTED_POD = {
  pod: {
    automountServiceAccountToken: false,
    securityContext: { runAsNonRoot: true, runAsUser: 65_532, seccompProfile: { type: 'RuntimeDefault' } },
  },
  container: { securityContext: { allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] } } },
}

export interface Pod extends KubeObject {
  spec: { containers: object[] }
  status?: {
    phase?: string
    podIP?: string
    conditions?: Array<{ type: string; status: string }>
    containerStatuses?: Array<{ name: string; restartCount: number }>
    initContainerStatuses?: Array<{ name: string; restartCount: number }>
  }
}

/** Files that a device has on its disk. */
export interface DeviceFiles {
  cafile: string
  cert: string
  key: string
}

const isReady = ({ metadata, status }: Pod): boolean =>
  metadata.deletionTimestamp === undefined &&
  (status?.conditions ?? []).some(({ type, status: is }) => type === 'Ready' && is === 'True')

/** A namespace in which pods must be restricted, with a release of the chart that watches it. */
export class Site {
  readonly space: TestNamespace
  readonly kubectl: Kubectl
  readonly #folder = makeTempDir('site')

  private constructor(space: TestNamespace, kubectl: Kubectl) {
    this.space = space
    this.kubectl = kubectl
  }

  /** `chart` is a folder or an archive. */
  static async install(
    prefix: string,
    values: object = {},
    chart = path.join(CHARTS, 'hublet'),
  ): Promise<Site> {
    const space = await TestNamespace.create(prefix)
    const site = new Site(space, await Kubectl.create(space.name))
    await site.kubectl.run('label', 'namespace', space.name, 'pod-security.kubernetes.io/enforce=restricted')
    await site.helm('install', values, chart)
    return site
  }

  async helm(
    verb: 'install' | 'upgrade',
    values: object = {},
    chart = path.join(CHARTS, 'hublet'),
  ): Promise<void> {
    const where = ['--namespace', this.space.name, '--wait', '--timeout', '4m']
    const args = [verb, 'hublet', chart, ...where]
    await helm(inject('kubeConfigFile'), args, { ...imageValues(), ...values })
  }

  async uninstall(): Promise<void> {
    const args = ['uninstall', 'hublet', '--namespace', this.space.name, '--wait', '--ignore-not-found']
    await helm(inject('kubeConfigFile'), args)
  }

  /** Applies manifests of a folder of the repository as they are. */
  async applyFolder(folder: string): Promise<void> {
    await this.kubectl.run('apply', '--server-side', '-f', path.join(ROOT, folder))
  }

  apply(kind: string, name: string, spec: object): Promise<void> {
    return applyManifest(this.space, {
      apiVersion: 'iot.hublet.dev/v1alpha1',
      kind,
      metadata: { name },
      spec,
    } as KubeObject)
  }

  untilReady(resource: Resource, names: readonly string[]): Promise<void> {
    return untilReady(this.space, resource, names, POD_MS)
  }

  /** The name by which clients reach a Service. */
  host(service: string): string {
    return `${service}.${this.space.name}.svc`
  }

  pods(selector: string): Promise<Pod[]> {
    return this.space.list<Pod>(PODS, { labelSelector: selector })
  }

  brokers(hub: string): Promise<Pod[]> {
    return this.pods(`iot.hublet.dev/hub=${hub},app.kubernetes.io/component=broker`)
  }

  /** Resolves to the only pod that is not on its way out, once it is ready and none of `before`. */
  async untilOnePod(selector: string, before: readonly Pod[] = []): Promise<Pod> {
    const old = new Set(before.map(({ metadata }) => metadata.uid))
    return await waitUntil(
      `one ready pod of ${selector}`,
      async () => {
        const all = await this.pods(selector)
        const [pod, ...more] = all
        return pod && more.length === 0 && isReady(pod) && !old.has(pod.metadata.uid) ? pod : undefined
      },
      { timeoutMs: POD_MS, intervalMs: 250 },
    )
  }

  untilBroker(hub: string, before: readonly Pod[] = []): Promise<Pod> {
    return this.untilOnePod(`iot.hublet.dev/hub=${hub},app.kubernetes.io/component=broker`, before)
  }

  file(name: string, text: string): string {
    const file = path.join(this.#folder, name)
    writeFileSync(file, text, { mode: 0o600 })
    return file
  }

  /** What the Secret of a device holds, as files. */
  async deviceFiles(device: string): Promise<DeviceFiles> {
    const secret = await this.space.get<Secret>(SECRETS, `device-${device}-tls`)
    return {
      cafile: this.file(`${device}-ca.crt`, textOf(secret, 'ca.crt')),
      cert: this.file(`${device}.crt`, textOf(secret, 'tls.crt')),
      key: this.file(`${device}.key`, textOf(secret, 'tls.key')),
    }
  }

  async secret(name: string, key: string): Promise<string> {
    return textOf(await this.space.get<Secret>(SECRETS, name), key)
  }

  async serverCa(hub: string): Promise<string> {
    const { data } = await this.space.get<ConfigMap>(CONFIG_MAPS, `hub-${hub}-server-ca`)
    return data?.['ca.crt'] ?? ''
  }

  /** Deletes the objects, then the release, then the namespace, as the docs say; resolves when it is gone. */
  async close(): Promise<void> {
    for (const { plural } of [ROUTES, NETWORKS, DEVICES, HUBS])
      await this.kubectl.run('delete', plural, '--all', '--timeout=80s')
    await this.uninstall()
    await this.space.remove()
    this.kubectl.close()
    removeTempDir(this.#folder)
  }
}

function imageValues(): object {
  const image = inject('image')
  const colon = image.lastIndexOf(':')
  const redisImage = inject('redisImage')
  return {
    image: { repository: image.slice(0, colon), tag: image.slice(colon + 1) },
    ...(redisImage === '' ? {} : { redisImage }),
  }
}
