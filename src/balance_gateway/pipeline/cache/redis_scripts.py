"""The scripts that change the shared cache; Redis runs each of them as one step.

Every change also adds an entry to the log of changes (``change_log.py``), in the same script: no
process can see a change and not find it in the log. The entry comes first, so that a user that may
not add one changes nothing.
"""

#: About how many entries the log keeps. Whoever has seen less forgets everything and starts over.
LOG_ENTRIES = 10_000

_ADD_ENTRY = f"redis.call('XADD', %s, 'MAXLEN', '~', {LOG_ENTRIES}, '*', 't', %s, %s)"

#: The start of every change of a fence: log it, set a new nonce and remove expired holds.
_CHANGE = f"""
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
{_ADD_ENTRY % ("KEYS[5]", "ARGV[1]", "'f', ARGV[2]")}
redis.call('INCR', KEYS[4])
redis.call('SET', KEYS[1], ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[3], '-inf', now)
"""

#: The end of every change of a fence: let the held flag expire with the last hold.
_UPDATE_HELD_FLAG = """
local last = redis.call('ZREVRANGE', KEYS[3], 0, 0, 'WITHSCORES')
if last[2] then
  local left = last[2] - now
  redis.call('SET', KEYS[2], 1, 'PX', left)
  redis.call('PEXPIRE', KEYS[3], left)
else
  redis.call('DEL', KEYS[2])
end
return 1
"""

#: KEYS: nonce, held flag, writes in flight, seq, log. ARGV: new nonce, fence, write id, hold in ms.
HOLD = f"""{_CHANGE}
local ends = now + ARGV[4]
local before = redis.call('ZSCORE', KEYS[3], ARGV[3])
if not before or tonumber(before) < ends then
  redis.call('ZADD', KEYS[3], ends, ARGV[3])
end
{_UPDATE_HELD_FLAG}"""

#: KEYS: nonce, held flag, writes in flight, seq, log. ARGV: new nonce, fence, write id.
END = f"""{_CHANGE}
redis.call('ZREM', KEYS[3], ARGV[3])
{_UPDATE_HELD_FLAG}"""

#: KEYS: epoch, quarantine, log. ARGV: the epoch to replace ('' = none), the new epoch, quarantine
#: in ms (0 = none). Returns the current epoch, which is another one if another process was faster.
OPEN_EPOCH = f"""
local current = redis.call('GET', KEYS[1]) or ''
if current ~= ARGV[1] then return current end
{_ADD_ENTRY % ("KEYS[3]", "ARGV[2]", "'a', '*'")}
if tonumber(ARGV[3]) > 0 then redis.call('SET', KEYS[2], 1, 'PX', ARGV[3]) end
redis.call('SET', KEYS[1], ARGV[2])
return ARGV[2]
"""

#: KEYS: log. ARGV: a token. Returns the newest entry, after adding one if there is none.
FIND_NEWEST = f"""
local last = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)
if last[1] then return last end
{_ADD_ENTRY % ("KEYS[1]", "ARGV[1]", "'a', '*'")}
return redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)
"""

#: The results of keeping a value: not under its standing, stored, or dropped with the other one.
REFUSED, KEPT, DROPPED = 0, 1, 2

#: Stores values that were read, each if no write has begun since its look. When another value was
#: stored since the look, both reads overlapped and nobody knows which is newer: both are dropped.
#:
#: KEYS: epoch, seq, log, then for each value: nonce, value. ARGV: token, lifetime in ms, then for
#: each value: standing, seq of the look, digest, entry, name in the log. Returns a result for each.
KEEP = f"""
local epoch = redis.call('GET', KEYS[1]) or ''
local results, named = {{}}, {{}}
for i = 1, (#KEYS - 3) / 2 do
  local at = 5 * i - 3
  if epoch .. '/' .. (redis.call('GET', KEYS[2 * i + 2]) or '') ~= ARGV[at + 1] then
    results[i] = {REFUSED}
  else
    results[i] = {KEPT}
    local stored = redis.call('GET', KEYS[2 * i + 3])
    local seq, digest = string.match(stored or '', '^(%d+) (%S+) ')
    if seq and tonumber(seq) > tonumber(ARGV[at + 2]) and digest ~= ARGV[at + 3] then
      results[i] = {DROPPED}
    end
    named[#named + 1] = 'v'
    named[#named + 1] = ARGV[at + 5]
  end
end
if #named == 0 then return results end
{_ADD_ENTRY % ("KEYS[3]", "ARGV[1]", "unpack(named)")}
for i, result in ipairs(results) do
  local at = 5 * i - 3
  if result ~= {REFUSED} then
    local text = redis.call('INCR', KEYS[2]) .. ' - '
    if result == {KEPT} then
      text = redis.call('GET', KEYS[2]) .. ' ' .. ARGV[at + 3] .. ' ' .. ARGV[at + 4]
    end
    redis.call('SET', KEYS[2 * i + 3], text, 'PX', ARGV[2])
  end
end
return results
"""
