/** What a support bundle says of a namespace. Every list and every log has a bound. */

import {
  CONFIG_MAPS,
  DEPLOYMENTS,
  DEVICES,
  DISRUPTION_BUDGETS,
  HUBS,
  NETWORK_POLICIES,
  NETWORKS,
  ROUTES,
  SECRETS,
  SERVICES,
  STATEFUL_SETS,
} from '../../operator/api/resources.ts'
import { HUB_LABEL } from '../../operator/compile/names.ts'
import { ApiError, TransportError } from '../../operator/runtime/api-error.ts'
import { readAll } from '../../operator/runtime/http-wire.ts'
import { type KubeObject, type Resource, resourcePath } from '../../operator/runtime/resource.ts'
import type { Connection } from '../cluster/connection.ts'
import type { ReportFile } from './bundle.ts'
import { redactObject, redactText } from './redact.ts'

/** Objects of one kind; what is beyond is told. */
const MAX_OBJECTS = 1_000
const MAX_LOGS = 60
const LOG_LINES = 5_000
const LOG_BYTES = 1024 * 1024

const core = (kind: string, plural: string): Resource => ({
  apiVersion: 'v1',
  kind,
  plural,
  namespaced: true,
})
const PODS = core('Pod', 'pods')
const EVENTS = core('Event', 'events')

const OUR_KINDS: readonly Resource[] = [HUBS, DEVICES, NETWORKS, ROUTES]
/** Of these only what Hublet made, or is: others have nothing to do with it. */
const WORKLOADS: readonly Resource[] = [
  DEPLOYMENTS,
  STATEFUL_SETS,
  PODS,
  SERVICES,
  CONFIG_MAPS,
  NETWORK_POLICIES,
  DISRUPTION_BUDGETS,
]
const OURS = 'app.kubernetes.io/name=hublet'
/** Secrets come as their metadata: what is in them never leaves the API server. */
const METADATA_ONLY = 'application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1'

type Pod = KubeObject & {
  spec?: { containers?: Array<{ name: string }>; initContainers?: Array<{ name: string }> }
}

export interface ClusterReportOptions {
  /** Only what belongs to this hub. */
  hub: string | undefined
}

/** Rejects only where the cluster gives no answer at all; what could not be had else is told in `errors.txt`. */
export async function clusterReport(
  { hub }: ClusterReportOptions,
  connection: Connection,
): Promise<ReportFile[]> {
  return await new ClusterReport(hub, connection).collect()
}

class ClusterReport {
  readonly #hub: string | undefined
  readonly #connection: Connection
  readonly #files: ReportFile[] = []
  readonly #problems: string[] = []

  constructor(hub: string | undefined, connection: Connection) {
    this.#hub = hub
    this.#connection = connection
  }

  async collect(): Promise<ReportFile[]> {
    const { client } = this.#connection
    const { body } = await client.request<object>({ method: 'GET', path: '/version' })
    this.#add('kubernetes-version.json', body)
    const names = new Set<string>()
    for (const resource of OUR_KINDS) {
      const objects = (await this.#list(resource)).filter((object) => this.#isOfHub(object))
      for (const { metadata } of objects) names.add(metadata.name ?? '')
      this.#add(`objects/${resource.plural}.json`, objects)
    }
    const labelSelector = this.#hub === undefined ? OURS : `${OURS},${HUB_LABEL}=${this.#hub}`
    let pods: Pod[] = []
    for (const resource of WORKLOADS) {
      const objects = await this.#list(resource, { labelSelector })
      for (const { metadata } of objects) names.add(metadata.name ?? '')
      this.#add(`objects/${resource.plural}.json`, objects)
      if (resource === PODS) pods = objects as Pod[]
    }
    this.#add('objects/secrets-metadata.json', await this.#list(SECRETS, { labelSelector }, METADATA_ONLY))
    const events = (await this.#list(EVENTS)).filter((event) => names.has(subjectOf(event)))
    this.#add('events.json', events)
    await this.#logs(pods)
    this.#files.push({
      name: 'errors.txt',
      content: this.#problems.map((line) => `${redactText(line)}\n`).join(''),
    })
    return this.#files
  }

  #add(name: string, content: unknown): void {
    this.#files.push({ name, content: `${JSON.stringify(redactObject(content), undefined, 2)}\n` })
  }

  #isOfHub(object: KubeObject & { spec?: { hubRef?: { name?: string } } }): boolean {
    if (this.#hub === undefined) return true
    return (object.kind === HUBS.kind ? object.metadata.name : object.spec?.hubRef?.name) === this.#hub
  }

  async #list(
    resource: Resource,
    query: Record<string, string> = {},
    accept?: string,
  ): Promise<KubeObject[]> {
    const { client, namespace } = this.#connection
    const path = resourcePath(resource, namespace)
    try {
      const { body } = await client.request<{ items: KubeObject[]; metadata?: { continue?: string } }>({
        method: 'GET',
        path,
        query: { limit: MAX_OBJECTS, ...query },
        ...(accept === undefined ? {} : { accept }),
      })
      if (body.metadata?.continue)
        this.#problems.push(`${resource.plural}: more than ${MAX_OBJECTS}, the rest is left out`)
      return body.items.map((item) => ({ kind: resource.kind, ...item }))
    } catch (error) {
      if (!(error instanceof ApiError)) throw error
      this.#problems.push(`${resource.plural}: ${error.message}`)
      return []
    }
  }

  async #logs(pods: readonly Pod[]): Promise<void> {
    const wanted = pods.flatMap(({ metadata, spec }) =>
      [...(spec?.initContainers ?? []), ...(spec?.containers ?? [])].flatMap(({ name }) =>
        [false, true].map((previous) => ({ pod: metadata.name ?? '', container: name, previous })),
      ),
    )
    if (wanted.length > MAX_LOGS)
      this.#problems.push(`logs: ${wanted.length}, more than ${MAX_LOGS}; the rest is left out`)
    for (const one of wanted.slice(0, MAX_LOGS)) await this.#log(one)
  }

  async #log({
    pod,
    container,
    previous,
  }: {
    pod: string
    container: string
    previous: boolean
  }): Promise<void> {
    const { client, namespace } = this.#connection
    const name = `logs/${pod.slice(-60)}.${container}${previous ? '.previous' : ''}.log`
    try {
      const answer = await client.stream({
        method: 'GET',
        path: `${resourcePath(PODS, namespace, pod)}/log`,
        query: { container, previous, tailLines: LOG_LINES, limitBytes: LOG_BYTES, timestamps: true },
      })
      this.#files.push({ name, content: redactText((await readAll(answer, LOG_BYTES + 1)).toString()) })
    } catch (error) {
      if (!(error instanceof ApiError) && !(error instanceof TransportError)) throw error
      // Most containers have not died yet.
      if (!previous) this.#problems.push(`${name}: ${error.message}`)
    }
  }
}

const subjectOf = (event: KubeObject): string =>
  (event as KubeObject & { involvedObject?: { name?: string } }).involvedObject?.name ?? ''
