/** redis.conf of a managed Redis: one admin, one user that the pods of the hub have, TLS only. */
import { createHash } from 'node:crypto'
import { hubAclRules, hubAclUser } from '../../contract/redis-acl.ts'

export const REDIS_PORT = 6379
export const REDIS_FOLDER = '/etc/hublet/redis-server'
export const REDIS_DATA_FOLDER = '/data'

export interface RedisConfigInput {
  hubUid: string
  durability: 'Fsync' | 'Replicated' | 'Relaxed'
  adminPassword: string
  hubPassword: string
}

const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex')

/** Passwords stand in it as hashes: the file is mounted, and need not be as secret as they are. */
export function redisConfig({ hubUid, durability, adminPassword, hubPassword }: RedisConfigInput): string {
  const { keys, channels, commands } = hubAclRules(hubUid)
  return [
    'bind * -::*',
    'port 0',
    `tls-port ${REDIS_PORT}`,
    `tls-cert-file ${REDIS_FOLDER}/tls.crt`,
    `tls-key-file ${REDIS_FOLDER}/tls.key`,
    `tls-ca-cert-file ${REDIS_FOLDER}/ca.crt`,
    'tls-auth-clients no',
    'protected-mode no',
    `dir ${REDIS_DATA_FOLDER}`,
    'save ""',
    'appendonly yes',
    // Nothing is acknowledged before it is on the disk; Relaxed may lose the last second.
    `appendfsync ${durability === 'Relaxed' ? 'everysec' : 'always'}`,
    // Sessions and messages are no cache: a full Redis refuses, and the hub tells its clients.
    'maxmemory-policy noeviction',
    `user default on #${sha256(adminPassword)} ~* &* +@all`,
    [
      `user ${hubAclUser(hubUid)} on #${sha256(hubPassword)} resetkeys resetchannels`,
      ...keys,
      ...channels,
      '-@all',
      ...commands,
    ].join(' '),
    '',
  ].join('\n')
}
