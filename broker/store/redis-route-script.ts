/**
 * The streams of routes, inside Redis. The layout of the keys is told in `contract/redis-keys.ts`. One number, `seq`
 * of the totals, counts the entries of a route over all its partitions: their order, and the ids `0-<seq>`.
 *
 * An entry has the fields `b` (what it counts for), `t` (time of arrival, ms) and `m` (`redis-route-codec.ts`).
 */
import { RedisScript } from '../../contract/redis-script.ts'

/** A read stops after so many bytes: a page of the largest messages must not fill the memory. */
export const READ_BYTES = 8 * 1024 * 1024
const READ_ROWS = 32

/** Functions on a route; `R` is the prefix of all. Shared by the script that accepts messages. */
export const ROUTE_FUNCTIONS = `
local function totalsOf(route) return R .. route .. ':totals' end
local function partitionOf(route, partition) return R .. route .. ':p' .. partition end
local function numbers(totals)
  local found = redis.call('HMGET', totals, 'messages', 'bytes', 'partitions')
  return tonumber(found[1] or 0), tonumber(found[2] or 0), tonumber(found[3] or 0)
end
local function heads(route, partitions)
  local all = {}
  for partition = 0, partitions - 1 do
    all[partition] = redis.call('XRANGE', partitionOf(route, partition), '-', '+', 'COUNT', 1)[1] or false
  end
  return all
end
local function seqOf(entry) return tonumber(string.sub(entry[1], 3)) end
local function oldestOf(all, partitions)
  local oldest, at
  for partition = 0, partitions - 1 do
    local entry = all[partition]
    if entry and (not oldest or seqOf(entry) < seqOf(oldest)) then oldest, at = entry, partition end
  end
  return oldest, at
end

-- Tells how many were lost. A message that could never fit pushes none out.
local function appendTo(route, partition, maxMessages, maxBytes, dropOldest, bytes, time, body, isReplay)
  local totals = totalsOf(route)
  local messages, size, partitions = numbers(totals)
  local lost = 0
  local function fits() return messages < maxMessages and size + bytes <= maxBytes end
  if not fits() and dropOldest and not isReplay and maxMessages > 0 and bytes <= maxBytes then
    local all = heads(route, partitions)
    while not fits() do
      local oldest, at = oldestOf(all, partitions)
      if not oldest then break end
      local stream = partitionOf(route, at)
      redis.call('XDEL', stream, oldest[1])
      messages, size, lost = messages - 1, size - tonumber(oldest[2][2]), lost + 1
      all[at] = redis.call('XRANGE', stream, '-', '+', 'COUNT', 1)[1] or false
    end
  end
  local entered = fits()
  if entered then
    local seq = string.format('%.0f', redis.call('HINCRBY', totals, 'seq', 1))
    redis.call('XADD', partitionOf(route, partition), '0-' .. seq, 'b', bytes, 't', time, 'm', body)
    messages, size = messages + 1, size + bytes
    if tonumber(partition) >= partitions then partitions = tonumber(partition) + 1 end
  elseif not isReplay then
    lost = lost + 1
  end
  if entered or lost > 0 then
    redis.call('HSET', totals, 'messages', messages, 'bytes', string.format('%.0f', size), 'partitions', partitions)
    redis.call('SADD', R .. 'ids', route)
  end
  if lost > 0 then redis.call('HINCRBY', totals, 'dropped', lost) end
  -- Whoever waits for it, in any process, reads now.
  if entered then redis.call('PUBLISH', channel, partition .. '/' .. route) end
  return lost, entered
end
`

/** `R` and `channel` from the only key, which begins with the prefix of the streams. */
const PLACE = `
local R = string.sub(KEYS[1], 1, -4)
local channel = string.sub(R, 1, -8) .. 'bus:routes'
local call = redis.call
`

const REMOVAL = `
local function take(route, partition, seq)
  local id = '0-' .. seq
  local stream = partitionOf(route, partition)
  local entry = call('XRANGE', stream, id, id)[1]
  if not entry then return end
  call('XDEL', stream, id)
  local totals = totalsOf(route)
  call('HINCRBY', totals, 'messages', -1)
  call('HINCRBY', totals, 'bytes', '-' .. entry[2][2])
end
local function takeLetter(route, seq)
  call('ZREM', R .. route .. ':dead-order', seq)
  call('ZREM', R .. route .. ':dead-times', seq)
  return call('HDEL', R .. route .. ':dead', seq)
end
`

const script = (body: string) =>
  new RedisScript(`#!lua flags=allow-oom\n${PLACE}${ROUTE_FUNCTIONS}${REMOVAL}${body}`)

/** Key of every script here: `routes:ids`. */

/** First argument of those who change what waits: what `routes:owner` has to hold, or empty. */
const FENCE = `
local fence = table.remove(ARGV, 1)
if fence ~= '' and call('GET', R .. 'owner') ~= fence then
  return redis.error_reply('NOTOWNER another worker delivers')
end
`

/** Arguments: route, partition, after, limit. Replies with seq and message of each. */
export const readEntriesScript = script(`
local stream, after, limit = partitionOf(ARGV[1], ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local reply, found, size = {}, 0, 0
while found < limit do
  local rows = math.min(${READ_ROWS}, limit - found)
  local page = call('XRANGE', stream, string.format('0-%.0f', after + 1), '+', 'COUNT', rows)
  for _, entry in ipairs(page) do
    local body = entry[2][6]
    size = size + #body
    if found > 0 and size > ${READ_BYTES} then return reply end
    found = found + 1
    after = seqOf(entry)
    reply[2 * found - 1] = string.sub(entry[1], 3)
    reply[2 * found] = body
  end
  if #page < rows then break end
end
return reply
`)

/** Arguments: fence, route, partition, seqs. */
export const settleScript = script(`${FENCE}
for at = 3, #ARGV do take(ARGV[1], ARGV[2], ARGV[at]) end
return 0
`)

/** Arguments: fence, route, partition, how many letters may stay, then seq, time of death and letter of each. */
export const buryScript = script(`${FENCE}
local route, order = ARGV[1], R .. ARGV[1] .. ':dead-order'
for at = 4, #ARGV, 3 do
  local seq = ARGV[at]
  take(route, ARGV[2], seq)
  call('HSET', R .. route .. ':dead', seq, ARGV[at + 2])
  call('ZADD', order, seq, seq)
  call('ZADD', R .. route .. ':dead-times', ARGV[at + 1], seq)
end
call('SADD', R .. 'ids', route)
local surplus = call('ZCARD', order) - tonumber(ARGV[3])
if surplus > 0 then
  for _, seq in ipairs(call('ZRANGE', order, 0, surplus - 1)) do takeLetter(route, seq) end
end
return 0
`)

/** Arguments: route, after, limit. Replies with seq and letter of each. */
export const lettersScript = script(`
local route = ARGV[1]
local seqs = call('ZRANGEBYSCORE', R .. route .. ':dead-order', '(' .. ARGV[2], '+inf', 'LIMIT', 0, ARGV[3])
local reply, size = {}, 0
for found, seq in ipairs(seqs) do
  local letter = call('HGET', R .. route .. ':dead', seq)
  size = size + #letter
  if found > 1 and size > ${READ_BYTES} then break end
  reply[2 * found - 1] = seq
  reply[2 * found] = letter
end
return reply
`)

/** Arguments: route, messages and bytes of the buffer, then seq, partition, bytes and time of each letter. */
export const replayScript = script(`
local route, count = ARGV[1], 0
for at = 4, #ARGV, 4 do
  local seq = ARGV[at]
  local letter = call('HGET', R .. route .. ':dead', seq)
  if letter then
    local body = string.sub(letter, 5 + struct.unpack('>I4', letter))
    local _, entered = appendTo(
      route, ARGV[at + 1], tonumber(ARGV[2]), tonumber(ARGV[3]), false, tonumber(ARGV[at + 2]), ARGV[at + 3], body, true
    )
    if entered then
      takeLetter(route, seq)
      count = count + 1
    end
  end
end
return count
`)

/** Arguments: route, seqs. */
export const purgeScript = script(`
local count = 0
for at = 2, #ARGV do count = count + takeLetter(ARGV[1], ARGV[at]) end
return count
`)

/** Arguments: route, time, how many at most. */
export const purgeOldScript = script(`
local times, count = R .. ARGV[1] .. ':dead-times', 0
for _, seq in ipairs(call('ZRANGEBYSCORE', times, '-inf', '(' .. ARGV[2], 'LIMIT', 0, ARGV[3])) do
  count = count + takeLetter(ARGV[1], seq)
end
return count
`)

/** Arguments: route. Replies with messages, bytes, dropped, dead letters, and the time of the oldest or ''. */
export const backlogScript = script(`
local route = ARGV[1]
local messages, bytes, partitions = numbers(totalsOf(route))
local oldest = oldestOf(heads(route, partitions), partitions)
local dropped = call('HGET', totalsOf(route), 'dropped') or '0'
local letters = call('ZCARD', R .. route .. ':dead-order')
return { tostring(messages), string.format('%.0f', bytes), dropped, tostring(letters), oldest and oldest[2][4] or '' }
`)

const REMOVE_ROUTE = `
local function remove(route)
  for partition = 0, 15 do call('UNLINK', partitionOf(route, partition)) end
  local dead = R .. route .. ':dead'
  call('UNLINK', totalsOf(route), dead, dead .. '-order', dead .. '-times')
  call('SREM', KEYS[1], route)
end
`

/** Arguments: route. */
export const removeRouteScript = script(`${REMOVE_ROUTE}
remove(ARGV[1])
return 0
`)

/** Arguments: routes. Removes those that the stored state of the hub does not have, and replies with them. */
export const removeGoneScript = script(`${REMOVE_ROUTE}
local state = call('GET', string.sub(R, 1, -8) .. 'state:routes')
if not state then return {} end
local known = {}
for _, record in ipairs(cjson.decode(state)) do known[record.id] = true end
local gone = {}
for _, route in ipairs(ARGV) do
  if not known[route] then
    remove(route)
    table.insert(gone, route)
  end
end
return gone
`)
