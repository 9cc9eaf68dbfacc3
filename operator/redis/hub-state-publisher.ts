import { createHash } from 'node:crypto'
import type { Redis } from 'ioredis'
import { type DeviceDigest, decodeDigest } from '../../contract/activity-digest.ts'
import type { Answer } from '../../contract/asks.ts'
import type { HubState } from '../../contract/hub-state.ts'
import { type RedisAccess, redisFault, redisSettings } from '../../contract/redis-access.ts'
import { deviceDigestKey, routeReportKey } from '../../contract/redis-keys.ts'
import { decodeReport, type RouteReport } from '../../contract/route-report.ts'
import type { HubStatePublisher, PublishResult, ReceivedAsk, RedisTarget } from '../reconcile/ports.ts'
import { BoundedMap } from '../runtime/bounded-map.ts'
import { AskInbox } from './ask-inbox.ts'
import { HubAclWriter } from './hub-acl-writer.ts'
import { HubStateError } from './hub-state-error.ts'
import { HubStateWriter } from './hub-state-writer.ts'
import { createOperatorRedis } from './operator-redis.ts'

export interface PublisherOptions {
  /** [0, 1). */
  random: () => number
  /** Whether this process may write now. */
  mayWrite: () => boolean
  /** A Redis is there (again): its hubs want to be published, because it may have lost what it held. */
  onReady?: (hubUids: readonly string[]) => void
  /** A broker of the hub may wait for an answer. */
  onAsk?: (hubUid: string) => void
  /** A word of `redisFault` and where it happened, for the log. */
  onFault?: (address: string, fault: string) => void
}

interface Connection {
  redis: Redis
  writer: HubStateWriter
  acl: HubAclWriter
  inbox: AskInbox
  /** Of the hubs that are kept here. */
  hubs: Set<string>
  /** Hubs whose user was made since the connection was last made. */
  users: Map<string, string>
  /** Settles when the first attempt to connect has ended, one way or the other. */
  firstAttempt: Promise<void>
  fault: string
}

/** A hub that was removed so long ago is no more in any queue. */
const MAX_REMOVED = 10_000

interface KnownHub {
  target: RedisTarget
  connection: string
}

/** Writes hub state to as many Redis servers as hubs name, over one connection each. */
export class RedisPublisher implements HubStatePublisher {
  readonly #options: PublisherOptions
  readonly #connections = new Map<string, Connection>()
  readonly #hubs = new Map<string, KnownHub>()
  /** The last call of each hub: two at once would not know of each other. */
  readonly #tails = new Map<string, Promise<unknown>>()
  /** Uids are never used again, so what was removed stays removed. */
  readonly #removed = new BoundedMap<string, true>(MAX_REMOVED)

  constructor(options: PublisherOptions) {
    this.#options = options
  }

  publish(target: RedisTarget, state: HubState): Promise<PublishResult> {
    const { uid } = state.hub
    return this.#inRow(uid, async () => {
      if (this.#removed.get(uid)) return { changes: 0 }
      const connection = await this.#connectionOf(uid, target)
      await ensureUser(connection, uid, target.hubPassword)
      const { changes } = await connection.writer.write(state)
      connection.inbox.follow(uid)
      return { changes }
    })
  }

  remove(target: RedisTarget, hubUid: string): Promise<void> {
    return this.#inRow(hubUid, async () => {
      const connection = await this.#connectionOf(hubUid, target)
      await connection.writer.delete(hubUid)
      if (target.hasOwnUser) await connection.acl.remove(hubUid)
      this.#removed.set(hubUid, true)
      this.#leave(hubUid)
    })
  }

  async asks(hubUid: string, count: number): Promise<ReceivedAsk[]> {
    return (await this.#known(hubUid)?.inbox.read(hubUid, count)) ?? []
  }

  async answer(hubUid: string, entry: string, answer: Answer): Promise<void> {
    await this.#known(hubUid)?.inbox.answer(hubUid, entry, answer)
  }

  activity(hubUid: string): Promise<ReadonlyMap<string, DeviceDigest> | undefined> {
    return this.#reports(hubUid, deviceDigestKey(hubUid), decodeDigest)
  }

  routeReports(hubUid: string): Promise<ReadonlyMap<string, RouteReport> | undefined> {
    return this.#reports(hubUid, routeReportKey(hubUid), decodeReport)
  }

  lastTarget(hubUid: string): RedisTarget | undefined {
    return this.#hubs.get(hubUid)?.target
  }

  /** Open connections, for metrics. */
  get connections(): number {
    return this.#connections.size
  }

  async stop(): Promise<void> {
    await Promise.allSettled(this.#tails.values())
    for (const connection of this.#connections.values()) disconnect(connection)
    this.#connections.clear()
  }

  #known(hubUid: string): Connection | undefined {
    const key = this.#hubs.get(hubUid)?.connection
    return key === undefined ? undefined : this.#connections.get(key)
  }

  async #reports<T>(
    hubUid: string,
    hashKey: string,
    decode: (text: string) => T | undefined,
  ): Promise<ReadonlyMap<string, T> | undefined> {
    const connection = this.#known(hubUid)
    if (connection === undefined) return undefined
    try {
      const hash = Object.entries(await connection.redis.hgetall(hashKey))
      const decoded = hash.map(([id, text]) => [id, decode(text)] as const)
      return new Map(decoded.filter((pair): pair is [string, T & {}] => pair[1] !== undefined))
    } catch (error) {
      const fault = redisFault(error)
      throw new HubStateError('REDIS_UNAVAILABLE', `hub ${hubUid}: Redis failed with ${fault}`, fault)
    }
  }

  async #inRow<T>(uid: string, run: () => Promise<T>): Promise<T> {
    const before = this.#tails.get(uid) ?? Promise.resolve()
    const mine = before.then(run, run)
    this.#tails.set(uid, mine)
    try {
      return await mine
    } finally {
      if (this.#tails.get(uid) === mine) this.#tails.delete(uid)
    }
  }

  async #connectionOf(uid: string, target: RedisTarget): Promise<Connection> {
    const key = connectionKey(target.access)
    if (this.#hubs.get(uid)?.connection !== key) this.#leave(uid)
    let connection = this.#connections.get(key)
    if (connection === undefined) {
      connection = this.#open(target.access)
      this.#connections.set(key, connection)
    }
    connection.hubs.add(uid)
    this.#hubs.set(uid, { target, connection: key })
    await connection.firstAttempt
    if (connection.redis.status !== 'ready') {
      throw new HubStateError(
        'REDIS_UNAVAILABLE',
        `hub ${uid}: Redis cannot be reached (${connection.fault})`,
        connection.fault,
      )
    }
    return connection
  }

  #open(access: RedisAccess): Connection {
    const settings = redisSettings(access)
    const { random, mayWrite, onAsk, onFault, onReady } = this.#options
    const redis = createOperatorRedis(settings, {
      random,
      onFault: (fault) => {
        connection.fault = fault
        onFault?.(`${settings.host}:${settings.port}`, fault)
      },
    })
    const connection: Connection = {
      redis,
      writer: new HubStateWriter({ redis, mayWrite }),
      acl: new HubAclWriter(redis),
      inbox: new AskInbox({
        redis,
        listen: () => createOperatorRedis(settings, { random }),
        onAsk: (hubUid) => onAsk?.(hubUid),
      }),
      hubs: new Set(),
      users: new Map(),
      firstAttempt: redis.connect().catch((error) => {
        connection.fault = redisFault(error)
      }),
      fault: 'CONNECTING',
    }
    let wasReady = false
    redis.on('ready', () => {
      // Without an ACL file a restart forgets the users.
      connection.users.clear()
      // The first time everyone who asked is still waiting for it.
      if (wasReady || connection.fault !== 'CONNECTING') onReady?.([...connection.hubs])
      wasReady = true
    })
    return connection
  }

  /** The last hub to leave closes the door. */
  #leave(uid: string): void {
    const known = this.#hubs.get(uid)
    if (known === undefined) return
    this.#hubs.delete(uid)
    const connection = this.#connections.get(known.connection)
    connection?.hubs.delete(uid)
    connection?.inbox.leave(uid)
    if (connection?.hubs.size !== 0) return
    this.#connections.delete(known.connection)
    disconnect(connection)
  }
}

function disconnect({ redis, inbox }: Connection): void {
  inbox.close()
  redis.disconnect()
}

async function ensureUser(connection: Connection, uid: string, password: string | undefined): Promise<void> {
  if (password === undefined || connection.users.get(uid) === password) return
  await connection.acl.ensure(uid, password)
  connection.users.set(uid, password)
}

/** Connections are kept by it for as long as the process runs, so no password stands in it. */
const connectionKey = (access: RedisAccess): string =>
  createHash('sha256')
    .update(JSON.stringify(access, Object.keys(access).sort()))
    .digest('hex')
