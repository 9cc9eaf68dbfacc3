/**
 * The store's logic, run inside Redis: a batch of operations is one script, so it is atomic, and the fence is
 * looked at in the same step. The layout of the keys is told in `contract/redis-keys.ts`.
 *
 * Queues are streams with ids `0-<seq>`: Redis counts on by itself, also after a queue was emptied. An entry has
 * the field `m` (`<qos><retain>:<bytes>:<expiresAt>:<subscription ids>`) and either `b`, the message, or `i`, the
 * id of a message that several queues share.
 */
import { RedisScript } from '../../contract/redis-script.ts'
import { ROUTE_FUNCTIONS } from './redis-route-script.ts'

/** Entries of a deleted queue that are let go with the deletion itself; the rest is swept later. */
const INLINE_ROWS = 50
/** Entries of deleted queues that one sweep lets go. */
const SWEEP_ROWS = 200
/** Entries read at a time: each may be as large as a payload may be. */
const READ_ROWS = 16

const COMMON = `
local owner = KEYS[1]
local P = string.sub(owner, 1, -6)
if redis.call('GET', owner) ~= ARGV[1] then
  return redis.error_reply('FENCED another broker owns the store')
end
local call, match = redis.call, string.match
local sessions, wills, retained = P .. 'sessions', P .. 'wills', P .. 'retained'
local queuedBytes, bodies, refs, trash = P .. 'bytes', P .. 'bodies', P .. 'body-refs', P .. 'trash'

-- The message that is being stored: its references are counted here and written at the end.
local begun, held = nil, 0
local function dropBody(id)
  if id == begun then
    held = held - 1
  elseif call('HINCRBY', refs, id, -1) <= 0 then
    call('HDEL', refs, id)
    call('HDEL', bodies, id)
  end
end

local function removeEntry(key, queue, entry)
  local fields = entry[2]
  call('XDEL', queue, entry[1])
  call('HINCRBY', queuedBytes, key, '-' .. match(fields[2], ':(%d+):'))
  if fields[3] == 'i' then dropBody(fields[4]) end
end

local function find(queue, seq)
  return call('XRANGE', queue, '0-' .. seq, '0-' .. seq)[1]
end
`

const WRITE = `
local last = P .. 'last'
local done = call('GET', last)
if done then
  local number, answers = match(done, '^(%d+):(.*)$')
  if number == ARGV[2] then
    -- Written again so that replicas which have seen this have seen the batch.
    call('SET', last, done)
    return answers
  end
end

local at = 2
local function arg()
  at = at + 1
  return ARGV[at]
end
local answers, count = {}, 0
local function answer(value)
  count = count + 1
  answers[count] = value
end
local maxMessages, maxBytes, dropOldest = 0, 0, false

-- Whether the message may enter, and how many were lost over it. One that could never fit pushes none out.
local function makeRoom(key, queue, bytes, size)
  local waiting = call('XLEN', queue)
  if waiting < maxMessages and size + bytes <= maxBytes then return true, 0 end
  if not dropOldest or maxMessages < 1 or bytes > maxBytes then return false, 1 end
  local lost = 0
  repeat
    local oldest = call('XRANGE', queue, '-', '+', 'COUNT', 1)[1]
    if not oldest then return false, lost + 1 end
    removeEntry(key, queue, oldest)
    lost = lost + 1
    waiting = waiting - 1
    size = size - tonumber(match(oldest[2][2], ':(%d+):'))
  until waiting < maxMessages and size + bytes <= maxBytes
  return true, lost
end

-- The streams of routes are beside the store.
local R = string.sub(P, 1, -7) .. 'routes:'
local channel = string.sub(P, 1, -7) .. 'bus:routes'
${ROUTE_FUNCTIONS}
local function appendToRoutes(isDuplicate)
  local routes = tonumber(arg())
  if routes == 0 then return end
  local body, bytes, time = arg(), tonumber(arg()), arg()
  for _ = 1, routes do
    local route, partition, most, mostBytes, overflow = arg(), arg(), arg(), arg(), arg()
    if not isDuplicate then
      local lost =
        appendTo(route, partition, tonumber(most), tonumber(mostBytes), overflow == 'O', bytes, time, body, false)
      answer(lost)
    end
  end
end

local function isDuplicate(incoming, packetId, will)
  if will and call('HEXISTS', wills, will) == 0 then return true end
  if incoming and call('HEXISTS', sessions, incoming) == 1 then
    -- Marks only when nothing else makes it a duplicate.
    if call('SADD', P .. 'incoming:' .. incoming, packetId) == 0 then return true end
  end
  if will then call('HDEL', wills, will) end
  return false
end

local function accept()
  local body, bytes, bytesText, retain, topic = arg(), nil, arg(), arg(), arg()
  bytes = tonumber(bytesText)
  local incoming, packetId, will
  if arg() == '1' then incoming, packetId = arg(), arg() end
  if arg() == '1' then will = arg() end
  local targets = tonumber(arg())
  if isDuplicate(incoming, packetId, will) then
    at = at + 2 * targets
    appendToRoutes(true)
    answer(1)
    return
  end
  answer(0)
  if retain == 'S' then call('HSET', retained, topic, body) end
  if retain == 'C' then call('HDEL', retained, topic) end
  if targets > 1 then begun = tostring(call('INCR', P .. 'next-body')) end
  for _ = 1, targets do
    local key, meta = arg(), arg()
    local size = call('HGET', queuedBytes, key)
    if not size then
      -- No such session.
      answer(0)
      answer(0)
    else
      local queue = P .. 'queue:' .. key
      local fits, lost = makeRoom(key, queue, bytes, tonumber(size))
      if fits then
        local id
        if begun then
          held = held + 1
          id = call('XADD', queue, '0-*', 'm', meta, 'i', begun)
        else
          id = call('XADD', queue, '0-*', 'm', meta, 'b', body)
        end
        call('HINCRBY', queuedBytes, key, bytesText)
        answer(string.sub(id, 3))
      else
        answer(0)
      end
      answer(lost)
    end
  end
  if held > 0 then
    call('HSET', bodies, begun, body)
    call('HSET', refs, begun, held)
  end
  begun, held = nil, 0
  appendToRoutes(false)
end

local function endSession(key)
  call('HDEL', sessions, key)
  call('HDEL', queuedBytes, key)
  call('UNLINK', P .. 'released:' .. key, P .. 'incoming:' .. key)
  local queue = P .. 'queue:' .. key
  local entries = call('XRANGE', queue, '-', '+', 'COUNT', ${INLINE_ROWS + 1})
  if #entries > ${INLINE_ROWS} then
    local id = tostring(call('INCR', P .. 'next-body'))
    call('RENAME', queue, P .. 'trash:' .. id)
    call('RPUSH', trash, id)
    return
  end
  for _, entry in ipairs(entries) do
    if entry[2][3] == 'i' then dropBody(entry[2][4]) end
  end
  call('UNLINK', queue)
end

local function sweep()
  local id = call('LINDEX', trash, 0)
  if id then
    local queue = P .. 'trash:' .. id
    local entries = call('XRANGE', queue, '-', '+', 'COUNT', ${SWEEP_ROWS})
    for _, entry in ipairs(entries) do
      if entry[2][3] == 'i' then dropBody(entry[2][4]) end
      call('XDEL', queue, entry[1])
    end
    if #entries < ${SWEEP_ROWS} then
      call('UNLINK', queue)
      call('LPOP', trash)
    end
  end
  answer(call('LLEN', trash))
end

local operations = {
  L = function() maxMessages, maxBytes, dropOldest = tonumber(arg()), tonumber(arg()), arg() == 'O' end,
  A = accept,
  P = function()
    local key = arg()
    call('HSET', sessions, key, arg())
    call('HSETNX', queuedBytes, key, '0')
  end,
  D = function()
    local key = arg()
    endSession(key)
    call('HDEL', wills, key)
  end,
  E = function() endSession(arg()) end,
  R = function()
    local key, seq = arg(), arg()
    local queue = P .. 'queue:' .. key
    local entry = find(queue, seq)
    if not entry then return end
    removeEntry(key, queue, entry)
    call('ZADD', P .. 'released:' .. key, seq, seq .. ':' .. string.sub(entry[2][2], 1, 1))
  end,
  K = function()
    local key, seq = arg(), arg()
    local queue = P .. 'queue:' .. key
    local entry = find(queue, seq)
    if entry then
      removeEntry(key, queue, entry)
    else
      call('ZREMRANGEBYSCORE', P .. 'released:' .. key, seq, seq)
    end
  end,
  F = function() call('SREM', P .. 'incoming:' .. arg(), arg()) end,
  T = function() call('HDEL', retained, arg()) end,
  W = function() call('HSET', wills, arg(), arg()) end,
  X = function() call('HDEL', wills, arg()) end,
  S = sweep,
}
while at < #ARGV do operations[arg()]() end

local said = table.concat(answers, ',')
call('SET', last, ARGV[2] .. ':' .. said)
return said
`

const READ = `
local key, after, limit, now, budget =
  ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local queue, releasedKey = P .. 'queue:' .. key, P .. 'released:' .. key
local released = call('ZRANGEBYSCORE', releasedKey, '(' .. ARGV[3], '+inf', 'LIMIT', 0, limit)
local nextReleased = 1
local reply, found, size = { '' }, 0, 0
local page, nextEntry, drained = {}, 1, false

local function say(seq, meta, body)
  reply[#reply + 1] = seq
  reply[#reply + 1] = meta
  reply[#reply + 1] = body
  found = found + 1
  size = size + #body
end

while found < limit do
  if size >= budget then
    reply[1] = string.format('%.0f', after)
    break
  end
  if nextEntry > #page and not drained then
    page = call('XRANGE', queue, string.format('0-%.0f', after + 1), '+', 'COUNT', ${READ_ROWS})
    nextEntry = 1
    drained = #page == 0
  end
  local entry, freed = page[nextEntry], released[nextReleased]
  local seq = entry and tonumber(string.sub(entry[1], 3))
  local freedSeq = freed and tonumber(match(freed, '^%d+'))
  if not entry and not freed then break end
  if freedSeq and (not seq or freedSeq < seq) then
    -- It has no message left that could expire.
    say(match(freed, '^%d+'), 'R' .. match(freed, '%d$'), '')
    nextReleased = nextReleased + 1
    after = math.max(after, freedSeq)
  else
    local fields = entry[2]
    local expiresAt = tonumber(match(fields[2], '^%d%d:%d+:([^:]*):'))
    if expiresAt and expiresAt <= now then
      removeEntry(key, queue, entry)
    else
      local body = fields[3] == 'i' and call('HGET', bodies, fields[4]) or fields[4]
      say(string.sub(entry[1], 3), fields[2], body)
    end
    nextEntry = nextEntry + 1
    after = seq
  end
end
return reply
`

const CLAIM = `#!lua
local P = string.sub(KEYS[1], 1, -6)
local version = redis.call('GET', P .. 'version')
if version and tonumber(version) > tonumber(ARGV[2]) then
  return redis.error_reply('TOONEW written by a later version')
end
redis.call('SET', P .. 'version', ARGV[2])
redis.call('DEL', P .. 'last')
redis.call('SET', KEYS[1], ARGV[1])
return redis.call('LLEN', P .. 'trash')
`

/** Runs a batch. Key: owner; arguments: boot id, number of the batch, operations. */
export const writeScript = new RedisScript(`#!lua\n${COMMON}${WRITE}`)
/** The same where Redis has no memory left, for operations that give some back. */
export const freeingScript = new RedisScript(`#!lua flags=allow-oom\n${COMMON}${WRITE}`)
/**
 * Reads a queue. Arguments: boot id, session key, after seq, limit, now, bytes. Replies with the seq to go on
 * after (empty: that was all), then seq, meta and message of each entry. Takes out what has expired.
 */
export const readScript = new RedisScript(`#!lua flags=allow-oom\n${COMMON}${READ}`)
/** Takes the store over. Arguments: boot id, version of the layout. Replies with how many queues are to be swept. */
export const claimScript = new RedisScript(CLAIM)
