import { asksPrefix, busChannel, hubPrefix, routesPrefix, statusPrefix, storePrefix } from './redis-keys.ts'

/**
 * What brokers and route workers run, and nothing else: categories would let in commands that know no keys and
 * so no pattern (SCAN, RANDOMKEY, PUBSUB CHANNELS show other hubs; FUNCTION FLUSH, SCRIPT KILL harm them).
 */
const COMMANDS = [
  // The connection itself. INFO: how clients see whether Redis is still loading.
  ...['auth', 'hello', 'ping', 'quit', 'select', 'client|setname', 'client|id', 'info'],
  ...['multi', 'exec', 'discard', 'watch', 'unwatch', 'wait', 'time'],
  ...['eval', 'evalsha', 'eval_ro', 'evalsha_ro', 'script|load', 'script|exists'],
  ...[
    'get',
    'mget',
    'set',
    'incr',
    'incrby',
    'del',
    'unlink',
    'exists',
    'expire',
    'pexpire',
    'pttl',
    'rename',
  ],
  ...['hget', 'hmget', 'hgetall', 'hset', 'hsetnx', 'hdel', 'hexists', 'hlen', 'hincrby', 'hscan', 'hkeys'],
  ...['sadd', 'srem', 'sismember', 'scard', 'smembers'],
  ...['zadd', 'zrem', 'zcard', 'zrange', 'zrangebyscore', 'zremrangebyscore'],
  ...['lpush', 'rpush', 'lpop', 'lindex', 'llen', 'lrange'],
  ...['xadd', 'xdel', 'xlen', 'xrange', 'xrevrange', 'xread', 'xtrim', 'xinfo|stream', 'xinfo|groups'],
  ...['xgroup|create', 'xreadgroup', 'xack', 'xclaim', 'xautoclaim', 'xpending', 'xsetid'],
  ...['publish', 'spublish', 'subscribe', 'ssubscribe', 'unsubscribe', 'sunsubscribe'],
] as const

export const HUB_ACL_USER_PREFIX = 'hublet-'

/** The ACL user of a hub. */
export function hubAclUser(uid: string): string {
  hubPrefix(uid)
  return `${HUB_ACL_USER_PREFIX}${uid}`
}

/** The parts of an ACL rule that `ACL GETUSER` shows as they were given. */
export interface HubAclRules {
  /** Key patterns: the state of the hub is for reading only, so that a broker can't change who may do what. */
  keys: readonly string[]
  channels: readonly string[]
  /** Each with a `+`, after `-@all`. */
  commands: readonly string[]
}

/** What the user of a hub may do: commands that brokers run, on the keys and channels of this hub alone. */
export function hubAclRules(uid: string): HubAclRules {
  return {
    keys: [
      `%R~${hubPrefix(uid)}state:*`,
      `~${storePrefix(uid)}*`,
      `~${routesPrefix(uid)}*`,
      `~${statusPrefix(uid)}*`,
      `~${asksPrefix(uid)}*`,
    ],
    channels: [`&${busChannel(uid, '*')}`],
    commands: COMMANDS.map((command) => `+${command}`),
  }
}
