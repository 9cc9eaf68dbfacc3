import type { EnrolmentAnswer, EnrolmentRequest } from '../../contract/asks.ts'
import type { ProvisioningAnswer, ProvisioningRequest } from '../../contract/provisioning.ts'
import { loadManifests } from '../manifests/load-manifests.ts'
import type { ManifestFile } from '../manifests/manifest-files.ts'
import type { ManifestSet } from '../manifests/manifest-set.ts'
import type { Problem } from '../manifests/problem.ts'
import { danglingReferences } from '../manifests/references.ts'
import type { ApproveAnswer, ApproveCall, Decided, DeviceAnswer, DeviceCall } from './device-calls.ts'
import { approveDevices, changeDevice } from './device-changes.ts'
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
  /** ms since the epoch. */
  now: () => number
}

export type StartResult =
  | { started: true; files: readonly ManifestFile[] }
  | { started: false; problems: readonly Problem[] }

type Work = 'Reload' | 'Renew' | 'Ask'

interface Ask {
  /** Resolves to the step that tells whoever asked. */
  decide: () => Promise<Decided<() => void>>
  reject: (error: unknown) => void
}

/** Keeps the running hubs in line with a folder of manifests; what is wrong with it leaves them as they are. */
export class DevSession {
  readonly #options: DevSessionOptions
  #set: ManifestSet = new Map()
  #told = new Set<string>()
  #wasBad = false
  #work: Promise<void> = Promise.resolve()
  readonly #queued = new Set<Work>()
  readonly #asks: Ask[] = []
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
    return this.#serially('Renew', () => this.#look())
  }

  /** Makes a device that made itself known. */
  async provision(key: string, request: ProvisioningRequest): Promise<ProvisioningAnswer> {
    try {
      return await this.#ask(() => {
        const hub = hubsOf(this.#set).find((one) => one.key === key)
        const answer = hub === undefined ? 'Failed' : this.#options.provisioned.add(hub, request)
        return { answer, isChanged: answer === 'Created' }
      })
    } catch (error) {
      const { logger } = this.#options.reporter
      if (!this.#isStopping) logger.error({ hub: key, err: error }, 'a device could not be auto-provisioned')
      return 'Failed'
    }
  }

  /** Decides about a certificate that a device asks for. Resolves once it is in force. */
  async enrol(key: string, request: EnrolmentRequest): Promise<EnrolmentAnswer> {
    return await this.#ask(async () => {
      const { identities, provisioned } = this.#options
      const hub = hubsOf(provisioned.addTo(this.#set)).find((one) => one.key === key)
      if (hub === undefined) throw new Error(`hub ${key} has gone`)
      return await identities.enrol(hub, request)
    })
  }

  /** Gives a device another certificate, or revokes what it has. Resolves once it is in force. */
  async changeDevice(call: DeviceCall): Promise<DeviceAnswer> {
    return await this.#ask(() => changeDevice(this.#set, this.#options, call))
  }

  /** Lets devices in that wait for it. Resolves once it is in force. */
  async approve(call: ApproveCall): Promise<ApproveAnswer> {
    return await this.#ask(() => approveDevices(this.#set, this.#options, call))
  }

  /** Waits for work under way, then stops every hub. Rejects when one could not write what it held. */
  async stop(): Promise<void> {
    this.#isStopping = true
    await this.#work
    for (const { reject } of this.#asks.splice(0)) reject(new Error('hublet is stopping'))
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

  /** Has something decided between two looks. Resolves once what it changed is in force. */
  #ask<T>(decide: () => Decided<T> | Promise<Decided<T>>): Promise<T> {
    if (this.#isStopping) return Promise.reject(new Error('hublet is stopping'))
    const { promise, resolve, reject } = Promise.withResolvers<T>()
    const decided = async () => {
      const { answer, isChanged } = await decide()
      return { answer: () => resolve(answer), isChanged }
    }
    this.#asks.push({ decide: decided, reject })
    void this.#serially('Ask', () => this.#answer())
    return promise
  }

  /** A burst is one piece of work: each look is one at all devices. */
  async #answer(): Promise<void> {
    const asks = this.#asks.splice(0)
    const answers: Array<() => void> = []
    let isChanged = false
    for (const { decide, reject } of asks) {
      try {
        const decided = await decide()
        answers.push(decided.answer)
        isChanged ||= decided.isChanged
      } catch (error) {
        reject(error)
      }
    }
    try {
      if (isChanged) await this.#look()
      for (const answer of answers) answer()
    } catch (error) {
      for (const { reject } of asks) reject(error)
      throw error
    }
  }

  /** At the manifests in force, with what has become of their devices. */
  async #look(): Promise<void> {
    const result = await this.#plan(this.#set)
    if (result.valid) await this.#apply(result.plans)
    else this.#refuse(result.problems)
  }

  #plan(set: ManifestSet): Promise<PlanResult> {
    const { identities, provisioned, reporter, now } = this.#options
    for (const gone of provisioned.expire(hubsOf(set), now()))
      reporter.logger.warn(gone, 'a device went, because nobody has approved it in time')
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
