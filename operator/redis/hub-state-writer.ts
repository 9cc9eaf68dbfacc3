import type { Redis } from 'ioredis'
import { HUB_STATE_VERSION, type HubState } from '../../contract/hub-state.ts'
import { redisFault } from '../../contract/redis-access.ts'
import { stateKeys } from '../../contract/redis-keys.ts'
import {
  type BatchBounds,
  digestOf,
  encodeState,
  noteWritten,
  PARTS,
  planBatches,
  type StoredDigests,
} from './hub-state-diff.ts'
import { HubStateError } from './hub-state-error.ts'
import { removeHubKeys } from './remove-hub-keys.ts'
import { runWriteScript } from './state-script.ts'

export interface HubStateWriterOptions {
  /** Connected, by `createOperatorRedis`. */
  redis: Redis
  /** Asked before each batch, so that a process that has lost its lease stops in the middle. */
  mayWrite?: () => boolean
  /** Default 500 devices and 1 MiB: a few ms of a Redis that others use too. */
  batch?: Partial<BatchBounds>
  /** About how many entries of the change stream are kept. Default 1000. */
  changesKept?: number
}

export interface WriteResult {
  /** Changes written, each with its entry in the stream; 0: Redis held just this state. */
  changes: number
  revision: string
  devicesWritten: number
  devicesRemoved: number
}

interface StoredHub extends StoredDigests {
  /** Empty: nothing is stored, or by an earlier version. */
  revision: string
}

const DEFAULT_BOUNDS: BatchBounds = { devices: 500, bytes: 1024 * 1024 }
const DEFAULT_CHANGES_KEPT = 1000
const MAX_ATTEMPTS = 5
const DIGESTS_AT_ONCE = 1000

/**
 * Keeps the state of hubs in one Redis as `compileHubState` says it is. Only what differs is written, each batch
 * in one step with its entry in the change stream; the whole of a hub is one batch unless it is large. It
 * remembers digests of what it wrote, so that one changed device costs two commands, however many there are, and
 * trusts them only while the stored revision is the one it left.
 *
 * Rejects with `HubStateError`. Calls for one hub must not overlap; those for different hubs may.
 */
export class HubStateWriter {
  readonly #redis: Redis
  readonly #mayWrite: () => boolean
  readonly #bounds: BatchBounds
  readonly #changesKept: number
  readonly #known = new Map<string, StoredHub>()

  constructor({
    redis,
    mayWrite = () => true,
    batch,
    changesKept = DEFAULT_CHANGES_KEPT,
  }: HubStateWriterOptions) {
    this.#redis = redis
    this.#mayWrite = mayWrite
    this.#bounds = { ...DEFAULT_BOUNDS, ...batch }
    this.#changesKept = changesKept
  }

  /** Makes Redis hold `state`. Throws a RangeError on a state of another version or with a bad hub uid. */
  async write(state: HubState): Promise<WriteResult> {
    if (state.version !== HUB_STATE_VERSION) {
      throw new RangeError(`state.version: expected ${HUB_STATE_VERSION}, got ${state.version}`)
    }
    const { uid } = state.hub
    const next = encodeState(state)
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await this.#writeOnce(uid, next)
      } catch (error) {
        // What was written until then is not known for sure.
        this.#known.delete(uid)
        const known = toHubStateError(error, uid)
        if (known.code !== 'HUB_STATE_CONFLICT' || attempt === MAX_ATTEMPTS) throw known
      }
    }
  }

  /**
   * Removes every key of a hub, those of its store, routes and reports included, and resolves to how many there
   * were. A broker that is still running loses its store at once and keeps the state it has: write it disabled
   * first, and end the pods.
   */
  async delete(uid: string): Promise<number> {
    this.#known.delete(uid)
    try {
      return await removeHubKeys(this.#redis, uid, () => this.#assertMayWrite(uid))
    } catch (error) {
      throw toHubStateError(error, uid)
    }
  }

  async #writeOnce(uid: string, next: ReturnType<typeof encodeState>): Promise<WriteResult> {
    const stored = await this.#stored(uid)
    const result: WriteResult = {
      changes: 0,
      revision: stored.revision,
      devicesWritten: 0,
      devicesRemoved: 0,
    }
    for (const batch of planBatches(stored, next, this.#bounds)) {
      this.#assertMayWrite(uid)
      stored.revision = await runWriteScript(this.#redis, {
        uid,
        version: HUB_STATE_VERSION,
        revision: stored.revision,
        batch,
        changesKept: this.#changesKept,
      })
      noteWritten(stored, batch)
      result.changes += 1
      result.revision = stored.revision
      result.devicesWritten += batch.devices.length
      result.devicesRemoved += batch.removed.length
    }
    this.#known.set(uid, stored)
    return result
  }

  /** What Redis holds: as remembered when nobody has written since, else read. */
  async #stored(uid: string): Promise<StoredHub> {
    const keys = stateKeys(uid)
    const [version, revision] = await this.#redis.mget(keys.version, keys.revision)
    if (Number(version ?? 0) > HUB_STATE_VERSION) throw tooNew(uid)
    const known = this.#known.get(uid)
    if (known !== undefined && known.revision === revision) return known
    const stored: StoredHub = { revision: revision ?? '', parts: {}, devices: new Map() }
    // What an earlier version wrote is replaced as a whole.
    if (revision === null || revision === undefined || Number(version) !== HUB_STATE_VERSION) return stored
    const texts = await this.#redis.mget(PARTS.map((part) => keys[part]))
    for (const [i, part] of PARTS.entries()) {
      const text = texts[i]
      if (text !== null && text !== undefined) stored.parts[part] = digestOf(text)
    }
    await this.#readDigests(keys.digests, stored.devices)
    return stored
  }

  async #readDigests(key: string, into: Map<string, string>): Promise<void> {
    let cursor = '0'
    do {
      const [next, pairs] = await this.#redis.hscan(key, cursor, 'COUNT', DIGESTS_AT_ONCE)
      for (let i = 0; i + 1 < pairs.length; i += 2) into.set(pairs[i]!, pairs[i + 1]!)
      cursor = next
    } while (cursor !== '0')
  }

  #assertMayWrite(uid: string): void {
    if (!this.#mayWrite()) throw new HubStateError('NOT_LEADER', `hub ${uid}: this process may not write`)
  }
}

function tooNew(uid: string): HubStateError {
  return new HubStateError('HUB_STATE_TOO_NEW', `hub ${uid}: its state was written by a later version`)
}

function toHubStateError(error: unknown, uid: string): HubStateError {
  if (error instanceof HubStateError) return error
  if (error instanceof RangeError) throw error
  const fault = redisFault(error)
  if (fault === 'TOONEW') return tooNew(uid)
  if (fault === 'CONFLICT') {
    return new HubStateError('HUB_STATE_CONFLICT', `hub ${uid}: somebody else writes its state`)
  }
  return new HubStateError('REDIS_UNAVAILABLE', `hub ${uid}: Redis failed with ${fault}`, fault)
}
