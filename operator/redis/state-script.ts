import { encodeHubChange } from '../../contract/hub-change.ts'
import { type StateKeys, stateKeys } from '../../contract/redis-keys.ts'
import { RedisScript } from '../../contract/redis-script.ts'
import { changeOf, PARTS, type StateBatch } from './hub-state-diff.ts'

/** The order of the keys in the script. */
const KEY_ORDER = [
  'version',
  'revision',
  'hub',
  'networks',
  'routes',
  'devices',
  'names',
  'fingerprints',
  'digests',
  'changes',
] as const satisfies readonly (keyof StateKeys)[]

/**
 * Writes one batch, its indexes and its entry in the change stream in one step, if the state is still at the
 * revision the batch was made for. Answers with the new revision.
 *
 * An index entry is taken away only while it still points to the device it is taken away for: names and
 * fingerprints may move from one device to another in any order. The first revision is the time in µs, so that it
 * is higher than every one of a state that was lost, and brokers see that they have missed something.
 */
const WRITE = new RedisScript(`#!lua
local version, revision, devices, names, prints, digests, changes =
  KEYS[1], KEYS[2], KEYS[6], KEYS[7], KEYS[8], KEYS[9], KEYS[10]
local stored = redis.call('GET', version)
if stored and tonumber(stored) > tonumber(ARGV[2]) then
  return redis.error_reply('TOONEW a later version is stored')
end
local previous = redis.call('GET', revision) or ''
if previous ~= ARGV[1] then return redis.error_reply('CONFLICT another revision is stored') end

local nextRevision
if previous == '' then
  local now = redis.call('TIME')
  nextRevision = string.format('%.0f', tonumber(now[1]) * 1e6 + tonumber(now[2]))
  redis.call('DEL', changes)
else
  nextRevision = string.format('%.0f', tonumber(previous) + 1)
end
if stored ~= ARGV[2] or previous == '' then
  redis.call('UNLINK', KEYS[3], KEYS[4], KEYS[5], devices, names, prints, digests)
end
redis.call('SET', version, ARGV[2])
redis.call('SET', revision, nextRevision)

for part = 0, 2 do
  if ARGV[5 + part] ~= '' then redis.call('SET', KEYS[3 + part], ARGV[5 + part]) end
end

local function unindex(index, entry, id)
  if redis.call('HGET', index, entry) == id then redis.call('HDEL', index, entry) end
end
local function forget(id)
  local json = redis.call('HGET', devices, id)
  if not json then return end
  local record = cjson.decode(json)
  unindex(names, record.name, id)
  for _, print in ipairs(record.certificate.fingerprints) do unindex(prints, print, id) end
end

local at = 8
for _ = 1, tonumber(ARGV[at]) do
  at = at + 1
  forget(ARGV[at])
  redis.call('HDEL', devices, ARGV[at])
  redis.call('HDEL', digests, ARGV[at])
end
at = at + 1
while at < #ARGV do
  local id, json = ARGV[at], ARGV[at + 1]
  forget(id)
  local record = cjson.decode(json)
  redis.call('HSET', devices, id, json)
  redis.call('HSET', digests, id, ARGV[at + 2])
  redis.call('HSET', names, record.name, id)
  for _, print in ipairs(record.certificate.fingerprints) do redis.call('HSET', prints, print, id) end
  at = at + 3
end

redis.call('XADD', changes, 'MAXLEN', '~', ARGV[3], nextRevision .. '-0',
  'previous', previous == '' and '0' or previous, 'change', ARGV[4])
return nextRevision
`)

export interface WriteCall {
  uid: string
  version: number
  /** Empty: there is none yet. */
  revision: string
  batch: StateBatch
  /** About how many entries the change stream keeps. */
  changesKept: number
}

/** Resolves to the new revision; rejects with the error of the client (`CONFLICT` and `TOONEW` are ours). */
export async function runWriteScript(
  client: Parameters<RedisScript['run']>[0],
  call: WriteCall,
): Promise<string> {
  const keys = stateKeys(call.uid)
  const { batch } = call
  const args = [
    call.revision,
    String(call.version),
    String(call.changesKept),
    encodeHubChange(changeOf(batch)),
    ...PARTS.map((part) => batch.parts[part]?.json ?? ''),
    String(batch.removed.length),
    ...batch.removed,
    ...batch.devices.flatMap(({ id, json, digest }) => [id, json, digest]),
  ]
  return String(
    await WRITE.run(
      client,
      KEY_ORDER.map((name) => keys[name]),
      args,
    ),
  )
}
