import { createHash } from 'node:crypto'
import type { Redis } from 'ioredis'
import { redisFault } from '../../contract/redis-access.ts'
import { HUB_ACL_USER_PREFIX, hubAclRules, hubAclUser } from '../../contract/redis-acl.ts'
import { HubStateError } from './hub-state-error.ts'

export interface AclResult {
  changed: boolean
  /**
   * False: Redis has no ACL file, so a restart of Redis forgets the users; call `ensure` for every hub when the
   * connection comes back.
   */
  persisted: boolean
}

/**
 * One ACL user a hub, limited to the keys and channels of that hub (design §8.9). Redis gets the SHA-256 of the
 * password, never the password. Needs the right to run ACL. Rejects with `HubStateError`.
 */
export class HubAclWriter {
  readonly #redis: Redis
  /** Redis gives rules back in other words than it got them, so they are compared with its own. */
  readonly #seen = new Map<string, { hash: string; rules: string; persisted: boolean }>()

  constructor(redis: Redis) {
    this.#redis = redis
  }

  /**
   * Live connections of the user stay, under the new rules. Writes when the user is not as this process left it,
   * so once after each start.
   */
  async ensure(uid: string, password: string): Promise<AclResult> {
    const user = hubAclUser(uid)
    const { keys, channels, commands } = hubAclRules(uid)
    const hash = createHash('sha256').update(password).digest('hex')
    if (password === '') throw new RangeError('password: expected at least 1 character, got 0')
    return await this.#guard(uid, async () => {
      const known = this.#seen.get(uid)
      if (known !== undefined && known.hash === hash && known.rules === (await this.#rulesOf(user))) {
        return { changed: false, persisted: known.persisted }
      }
      // `reset` and what follows take force as one: nobody sees the user half made.
      await this.#redis.acl(
        'SETUSER',
        user,
        'reset',
        'on',
        `#${hash}`,
        ...keys,
        ...channels,
        '-@all',
        ...commands,
      )
      const persisted = await this.#save()
      this.#seen.set(uid, { hash, rules: await this.#rulesOf(user), persisted })
      return { changed: true, persisted }
    })
  }

  /** Ends the connections of the user too. False: there was none. */
  async remove(uid: string): Promise<boolean> {
    const user = hubAclUser(uid)
    this.#seen.delete(uid)
    return await this.#guard(uid, async () => {
      const removed = Number(await this.#redis.acl('DELUSER', user)) > 0
      if (removed) await this.#save()
      return removed
    })
  }

  /** Uids of the hubs that have a user, for finding those whose hub is gone. */
  async uids(): Promise<string[]> {
    return await this.#guard('*', async () => {
      const users = (await this.#redis.acl('USERS')) as string[]
      return users
        .filter((user) => user.startsWith(HUB_ACL_USER_PREFIX))
        .map((user) => user.slice(HUB_ACL_USER_PREFIX.length))
    })
  }

  async #rulesOf(user: string): Promise<string> {
    return JSON.stringify(await this.#redis.acl('GETUSER', user))
  }

  async #save(): Promise<boolean> {
    try {
      await this.#redis.acl('SAVE')
      return true
    } catch (error) {
      if (redisFault(error) !== 'ERR') throw error
      return false
    }
  }

  async #guard<T>(uid: string, run: () => Promise<T>): Promise<T> {
    try {
      return await run()
    } catch (error) {
      const fault = redisFault(error)
      throw new HubStateError(
        'REDIS_UNAVAILABLE',
        `hub ${uid}: Redis refused its ACL user with ${fault}`,
        fault,
      )
    }
  }
}
