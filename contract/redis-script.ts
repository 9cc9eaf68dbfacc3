import { createHash } from 'node:crypto'

/** What scripts of several operations are given, as they encode numbers themselves. */
export type ScriptArgument = string | Buffer

/** What a script needs of a Redis client; ioredis has it. Arguments come as one list: a call can't have so many. */
export interface ScriptRunner {
  call(command: string, args: (string | Buffer | number)[]): Promise<unknown>
}

/**
 * A Lua script that is sent once and named by its digest from then on. Scripts start with `#!lua`: Redis then
 * checks before the first line whether it may write at all (memory, replica, disk), so that none stops half-way.
 */
export class RedisScript {
  readonly sha: string
  readonly lua: string

  constructor(lua: string) {
    this.lua = lua
    this.sha = createHash('sha1').update(lua).digest('hex')
  }

  async run(
    client: ScriptRunner,
    keys: readonly string[],
    args: readonly (string | Buffer | number)[],
  ): Promise<unknown> {
    const rest = [keys.length, ...keys, ...args]
    try {
      return await client.call('EVALSHA', [this.sha, ...rest])
    } catch (error) {
      // A restart or SCRIPT FLUSH has emptied the cache of scripts.
      if (!(error instanceof Error && error.message.startsWith('NOSCRIPT'))) throw error
      return await client.call('EVAL', [this.lua, ...rest])
    }
  }
}
