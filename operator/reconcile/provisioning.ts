/** Makes Devices of clients that nobody has declared, as brokers ask for them (spec §1.7). */
import {
  isProvisionableName,
  type ProvisioningAnswer,
  type ProvisioningRequest,
} from '../../contract/provisioning.ts'
import { DEVICES, type Device, type Hub } from '../api/resources.ts'
import { deviceName } from '../compile/device-record.ts'
import { trustMode } from '../compile/hub-record.ts'
import { provisionedDeviceName } from '../compile/names.ts'
import { provisionedDevice } from '../compile/provisioned-device.ts'
import { ApiError, isConflict } from '../runtime/api-error.ts'
import { BoundedMap } from '../runtime/bounded-map.ts'
import { isDeleting } from '../runtime/finalizer.ts'
import { keyOf, type ObjectKey, objectKey, objectPath, resourcePath } from '../runtime/resource.ts'
import { HUB_INDEX, hubKeyOf } from '../watch/indexes.ts'
import { wasDeleted } from './deleted-devices.ts'
import { EVENT_REASONS } from './event-reasons.ts'
import { memberKey } from './published.ts'
import { FIELD_MANAGERS, FINALIZER, type Tools } from './tools.ts'

/** Asks that this process has made a device for and not answered yet, and devices the copy may not show yet. */
const MAX_REMEMBERED = 20_000

/** `wait`: the device is on its way to the brokers, or its turn has not come. */
export type ProvisioningReply = ProvisioningAnswer | 'wait'

export class Provisioning {
  readonly #tools: Tools
  /** Ids of asks. */
  readonly #made = new BoundedMap<string, true>(MAX_REMEMBERED)
  /** Of hubs: devices made that the copy does not show. */
  readonly #unseen = new Map<ObjectKey, Set<ObjectKey>>()
  readonly #turns = new Map<ObjectKey, { second: number; left: number }>()

  constructor(tools: Tools) {
    this.#tools = tools
  }

  forget(hub: ObjectKey): void {
    this.#unseen.delete(hub)
    this.#turns.delete(hub)
  }

  /** Looks at the devices of a hub once, for all that is asked in one run. */
  round(hub: Hub, signal: AbortSignal): ProvisioningRound {
    const { world, clock } = this.#tools
    const key = keyOf(hub)
    const devices = world.devices.byIndex(HUB_INDEX, key)
    const shown = new Set(devices.map(keyOf))
    const unseen = this.#unseen.get(key) ?? new Set<ObjectKey>()
    for (const one of unseen) if (shown.has(one) || world.devices.get(one) === undefined) unseen.delete(one)
    this.#unseen.set(key, unseen)
    const second = Math.floor(clock.monotonic() / 1000)
    let turns = this.#turns.get(key)
    if (turns?.second !== second) turns = { second, left: hub.spec.autoProvisioning.perSecond }
    this.#turns.set(key, turns)
    const byName = new Map(devices.map((device) => [deviceName(device), device]))
    return new ProvisioningRound(this.#tools, hub, { byName, unseen, turns, made: this.#made, signal })
  }
}

interface RoundFacts {
  byName: ReadonlyMap<string, Device>
  unseen: Set<ObjectKey>
  turns: { left: number }
  made: BoundedMap<string, true>
  signal: AbortSignal
}

export class ProvisioningRound {
  readonly #tools: Tools
  readonly #hub: Hub
  readonly #facts: RoundFacts

  constructor(tools: Tools, hub: Hub, facts: RoundFacts) {
    this.#tools = tools
    this.#hub = hub
    this.#facts = facts
  }

  /** Rejects when it is worth another try. */
  async answer(askId: string, request: ProvisioningRequest): Promise<ProvisioningReply> {
    const { commonName } = request
    const known = this.#find(commonName)
    if (known !== undefined) return this.#outcome(known, askId)
    const refusal = this.#refusal(commonName)
    if (refusal !== undefined) return refusal
    if (this.#facts.turns.left <= 0) return 'wait'
    this.#facts.turns.left -= 1
    return await this.#create(askId, request)
  }

  #find(commonName: string): Device | undefined {
    const shown = this.#facts.byName.get(commonName)
    if (shown !== undefined) return shown
    const made = this.#tools.world.devices.get(this.#keyFor(commonName))
    return made !== undefined && this.#isMeant(made, commonName) ? made : undefined
  }

  #outcome(device: Device, askId: string): ProvisioningReply {
    // Its name is free again in a moment, or never.
    if (isDeleting(device)) return 'Late'
    const hubKey = keyOf(this.#hub)
    const published = this.#tools.published
      .get(hubKey)
      ?.members.get(memberKey('Device', device.metadata.name))
    if (published?.uid === device.metadata.uid) return this.#facts.made.get(askId) ? 'Created' : 'Existed'
    this.#tools.wakeState(hubKey)
    return 'wait'
  }

  #refusal(commonName: string): ProvisioningAnswer | undefined {
    const { spec } = this.#hub
    if (!spec.autoProvisioning.enabled || trustMode(this.#hub) !== 'HubCA') return 'Failed'
    if (!isProvisionableName(commonName)) return 'Failed'
    if (wasDeleted(this.#tools.world, this.#hub, commonName)) return 'Deleted'
    const { byName, unseen } = this.#facts
    return byName.size + unseen.size >= spec.limits.devices ? 'QuotaReached' : undefined
  }

  async #create(askId: string, request: ProvisioningRequest): Promise<ProvisioningReply> {
    const { client, clock, world } = this.#tools
    const { signal, unseen, made } = this.#facts
    const { namespace } = this.#hub.metadata
    const manifest = provisionedDevice(this.#hub, { ...request, time: clock.now() })
    const key = objectKey(namespace, manifest.metadata.name)
    // Taken before the answer, as others of this run look at it meanwhile.
    unseen.add(key)
    try {
      const { body } = await client.request<Device>({
        method: 'POST',
        path: resourcePath(DEVICES, namespace),
        query: { fieldManager: FIELD_MANAGERS.provisioning },
        body: { ...manifest, metadata: { ...manifest.metadata, finalizers: [FINALIZER] } },
        signal,
      })
      world.devices.note(body)
      made.set(askId, true)
      this.#tools.wakeState(keyOf(this.#hub))
      return 'wait'
    } catch (error) {
      unseen.delete(key)
      if (isConflict(error)) return await this.#afterConflict(request.commonName, key)
      if (error instanceof ApiError && (error.status === 422 || error.status === 403))
        return this.#fail(`Device ${manifest.metadata.name} was refused: ${error.message}`)
      throw error
    }
  }

  /** The copy was behind, or the name belongs to something else. */
  async #afterConflict(commonName: string, key: ObjectKey): Promise<ProvisioningReply> {
    const { client, world } = this.#tools
    const { signal } = this.#facts
    const { body } = await client.request<Device>({
      method: 'GET',
      path: objectPath(DEVICES, key),
      signal,
    })
    if (!this.#isMeant(body, commonName))
      return this.#fail(`Device ${body.metadata.name} exists and is another device`)
    world.devices.note(body)
    return 'wait'
  }

  #fail(note: string): ProvisioningAnswer {
    const reason = EVENT_REASONS.ProvisioningFailed
    this.#tools.events.event(this.#hub, { type: 'Warning', reason, action: 'Provision', note })
    return 'Failed'
  }

  #isMeant(device: Device, commonName: string): boolean {
    return deviceName(device) === commonName && hubKeyOf(device) === keyOf(this.#hub)
  }

  #keyFor(commonName: string): ObjectKey {
    return objectKey(this.#hub.metadata.namespace, provisionedDeviceName(commonName))
  }
}
