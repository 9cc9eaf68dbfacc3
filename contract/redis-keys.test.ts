import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { hubAclRules, hubAclUser } from './redis-acl.ts'
import {
  busChannel,
  hubKeyPattern,
  hubPrefix,
  routesPrefix,
  stateKeys,
  statusPrefix,
  storePrefix,
} from './redis-keys.ts'

const UID = '6f9619ff-8b86-4d01-b42d-00cf4fc964ff'

describe('the Redis keys of a hub', () => {
  it('all start with the uid of the hub as hash tag', () => {
    const names = [
      ...Object.values(stateKeys(UID)),
      storePrefix(UID),
      routesPrefix(UID),
      statusPrefix(UID),
      busChannel(UID, 'wake'),
    ]
    for (const name of names) expect(name.startsWith(`hublet:{${UID}}:`)).toBe(true)
    expect(new Set(names).size).toBe(names.length)
  })

  it('are told in the table at the head of the file', () => {
    const source = readFileSync(join(import.meta.dirname, 'redis-keys.ts'), 'utf8')
    for (const key of Object.values(stateKeys(UID))) {
      expect(source).toContain(`| \`${key.slice(hubPrefix(UID).length)}\``)
    }
  })

  it('of two hubs share nothing, also where one uid starts with the other', () => {
    const keys = Object.values(stateKeys(`${UID}-2`))
    expect(keys.filter((key) => key.startsWith(hubPrefix(UID)))).toEqual([])
  })

  it.each([
    ['an empty uid', ''],
    ['a uid with a brace, which would move the hash tag', 'a}b'],
    ['a uid with a star, which would match the keys of others', '*'],
    ['a uid with a bracket', '[a-z]'],
    ['a uid with a backslash', 'a\\'],
    ['a uid with a colon', 'a:state'],
    ['a uid with a line end', 'a\n'],
    ['a very long uid', 'a'.repeat(64)],
  ])('are not formed of %s', (_, uid) => {
    for (const form of [hubPrefix, stateKeys, hubKeyPattern, storePrefix, hubAclUser, hubAclRules]) {
      expect(() => form(uid)).toThrow('hub.uid: expected 1 to 63 letters, digits or hyphens, got ')
    }
  })
})

describe('the ACL rules of a hub', () => {
  it('end every pattern under the prefix of the hub, and give no right to write its state', () => {
    const { keys, channels } = hubAclRules(UID)
    for (const pattern of [...keys, ...channels]) expect(pattern).toMatch(new RegExp(`hublet:\\{${UID}\\}:`))
    const state = keys.filter((pattern) => pattern.includes(':state:'))
    expect(state).toEqual([`%R~hublet:{${UID}}:state:*`])
  })

  it.each([
    'scan',
    'keys',
    'randomkey',
    'dbsize',
    'flushall',
    'flushdb',
    'pubsub',
    'psubscribe',
    'function',
    'script|flush',
    'script|kill',
    'config',
    'acl',
    'client|kill',
    'client|list',
    'monitor',
    'debug',
    'swapdb',
    'move',
    'copy',
    'sort',
    'migrate',
  ])('do not allow %s, which knows no key pattern or harms others', (command) => {
    const { commands } = hubAclRules(UID)
    expect(commands.filter((rule) => rule === `+${command}` || rule.startsWith(`+${command}|`))).toEqual([])
    expect(commands.filter((rule) => rule.startsWith('+@'))).toEqual([])
  })
})
