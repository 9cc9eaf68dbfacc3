import type { ProvisioningAnswer, ProvisioningRequest } from '../../contract/provisioning.ts'
import { loadManifests } from '../manifests/load-manifests.ts'
import type { ManifestFile } from '../manifests/manifest-files.ts'
import type { ManifestSet } from '../manifests/manifest-set.ts'
import type { Problem } from '../manifests/problem.ts'
import { danglingReferences } from '../manifests/references.ts'
import { hubsOf } from './hub-manifests.ts'
import { type HubPlan, type PlanResult, planHubs } from './hub-plan.ts'
import type { HubRunners } from './hub-runners.ts'
import type { IdentityStore } from './identity-store.ts'
import type { ProvisionedDevices } from './provisioned-devices.ts'
import type { Reporter } from './reporter.ts'

export interface DevSessionOptions {
  /** Files and folders of manifests. */
  paths: readonly string[]
  dataFolder: string
  identities: IdentityStore
  provisioned: ProvisionedDevices
  runners: HubRunners
  reporter: Reporter
}

export type StartResult =
  | { started: true; files: readonly ManifestFile[] }
  | { started: false; problems: readonly Problem[] }

type Work = 'Reload' | 'Renew' | 'Provision'

interface ProvisionRequest {
  key: string
  request: ProvisioningRequest
  resolve: (answer: ProvisioningAnswer) => void
}

/** Keeps the running hubs in line with a folder of manifests; what is wrong with it leaves them as they are. */
export class DevSession {
  readonly #options: DevSessionOptions
  #set: ManifestSet = new Map()
  #told = new Set<string>()
  #wasBad = false
  #work: Promise<void> = Promise.resolve()
  readonly #queued = new Set<Work>()
  readonly #requests: ProvisionRequest[] = []
  #isStopping = false

  constructor(options: DevSessionOptions) {
    this.#options = options
  }

  /** The first look. Rejects when a broker cannot be started. */
  async start(): Promise<StartResult> {
    const { paths, dataFolder, runners } = this.#options
    const folder = await loadManifests({ paths, dataFolder })
    if (!folder.valid) return { started: false, problems: folder.problems }
    const result = await this.#plan(folder.set)
    if (!result.valid) return { started: false, problems: result.problems }
    if (result.plans.length === 0) return { started: false, problems: [noHub(paths)] }
    this.#keep(folder.set)
    const [failure] = await runners.apply(result.plans)
    if (failure !== undefined) {
      await runners.stopAll()
      throw new Error(`hub ${failure.key} could not be started: ${messageOf(failure.error)}`, {
        cause: failure.error,
      })
    }
    return { started: true, files: folder.files }
  }

  /** Looks at the folder again. Calls while one is under way lead to one more look. */
  reload(): Promise<void> {
    return this.#serially('Reload', () => this.#reload())
  }

  /** Renews what is about to end; the manifests are those in force. */
  renew(): Promise<void> {
    return this.#serially('Renew', async () => {
      const result = await this.#plan(this.#set)
      if (result.valid) await this.#apply(result.plans)
      else this.#refuse(result.problems)
    })
  }

  /** Makes a device that made itself known. A burst is one piece of work: each costs a look at all devices. */
  provision(key: string, request: ProvisioningRequest): Promise<ProvisioningAnswer> {
    const { promise, resolve } = Promise.withResolvers<ProvisioningAnswer>()
    this.#requests.push({ key, request, resolve })
    void this.#serially('Provision', () => this.#provision())
    return promise
  }

  /** Waits for work under way, then stops every hub. Rejects when one could not write what it held. */
  async stop(): Promise<void> {
    this.#isStopping = true
    await this.#work
    await this.#options.runners.stopAll()
  }

  async #reload(): Promise<void> {
    const { paths, dataFolder, reporter } = this.#options
    const folder = await loadManifests({ paths, dataFolder, previous: this.#set })
    if (!folder.valid) {
      this.#refuse(folder.problems)
      return
    }
    const result = await this.#plan(folder.set)
    if (!result.valid) {
      this.#refuse(result.problems)
      return
    }
    if (this.#wasBad) reporter.logger.info('the manifests are good again')
    this.#wasBad = false
    this.#keep(folder.set)
    await this.#apply(result.plans)
  }

  async #provision(): Promise<void> {
    const requests = this.#requests.splice(0)
    const answers = new Map<ProvisionRequest, ProvisioningAnswer>()
    try {
      const hubs = new Map(hubsOf(this.#set).map((hub) => [hub.key, hub]))
      for (const one of requests) {
        const hub = hubs.get(one.key)
        if (hub !== undefined) answers.set(one, this.#options.provisioned.add(hub, one.request))
      }
      const result = await this.#plan(this.#set)
      if (result.valid) await this.#apply(result.plans)
      else this.#refuse(result.problems)
    } finally {
      for (const one of requests) one.resolve(answers.get(one) ?? 'Failed')
    }
  }

  #plan(set: ManifestSet): Promise<PlanResult> {
    const { identities, provisioned } = this.#options
    return planHubs(provisioned.addTo(set), identities)
  }

  #refuse(problems: readonly Problem[]): void {
    this.#wasBad = true
    this.#options.reporter.problems(problems, 'manifests not applied; what was good before goes on')
  }

  #keep(set: ManifestSet): void {
    this.#set = set
    const dangling = danglingReferences(set)
    for (const text of dangling) if (!this.#told.has(text)) this.#options.reporter.logger.warn(text)
    this.#told = new Set(dangling)
  }

  async #apply(plans: readonly HubPlan[]): Promise<void> {
    for (const { key, error } of await this.#options.runners.apply(plans))
      this.#options.reporter.logger.error({ hub: key, err: error }, 'the hub could not be started')
  }

  /** One thing at a time: two looks at once could leave the older state in force. */
  #serially(kind: Work, run: () => Promise<void>): Promise<void> {
    if (this.#queued.has(kind) || this.#isStopping) return this.#work
    this.#queued.add(kind)
    this.#work = this.#work.then(async () => {
      // From here on a further change needs a further look.
      this.#queued.delete(kind)
      if (this.#isStopping) return
      try {
        await run()
      } catch (error) {
        // A full disk, a folder without permission: the hubs go on, and the next change is another try.
        this.#options.reporter.logger.error({ err: error }, 'the manifests could not be applied')
      }
    })
    return this.#work
  }
}

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))

const noHub = (paths: readonly string[]): Problem => ({
  file: paths.join(', '),
  error: { field: '', expected: 'expected at least one Hub', got: 'none' },
})
