-- Minute windows: what a request counts on is taken all at once, or not at all. The time is this server's, for all callers.
--
-- KEYS: two for each subject, a key of the gateway's or an account: its requests, a sorted set of their ids by the
--   millisecond in which they were taken; and its tokens, a hash of sums by the second.
-- ARGV: the deed, a request's id, the caller's time in ms (for a server that gives a script none), and what the deed needs:
--   take     tokens, how many subjects come first, then requests and tokens a minute of each (-1: no such limit).
--            The first subjects must all have room; of those after them one is taken, the first that has.
--            Answers who refused (0: nobody), 1 for requests or 2 for tokens, what is used, ms until there is room, and
--            which of those after the first ones is taken (0: none).
--   look     requests and tokens a minute of each. Answers for each and both: what is used, ms until there is more room.
--   correct  a number of tokens for each, which is added to what the request was taken with.
--   forget   the tokens that each was taken with: all of it is given back.
local MINUTE = 60000
local deed, id, now = ARGV[1], ARGV[2], tonumber(ARGV[3])
local told = redis.pcall('TIME')
if told.err then
  for i = 1, #KEYS, 2 do
    local newest = redis.call('ZREVRANGE', KEYS[i], 0, 0, 'WITHSCORES')[2]
    now = math.max(now, tonumber(newest or 0))
  end
else
  now = told[1] * 1000 + math.floor(told[2] / 1000)
end
local second = math.floor(now / 1000)

local function requests(i, most)
  local key = KEYS[2 * i - 1]
  redis.call('ZREMRANGEBYSCORE', key, '-inf', now - MINUTE)
  local used = redis.call('ZCARD', key)
  if most < 0 or used == 0 then return used, 0 end
  -- The one whose leaving makes room; where there is room, the oldest.
  local rank = math.max(0, math.min(used - most, used - 1))
  return used, redis.call('ZRANGE', key, rank, rank, 'WITHSCORES')[2] + MINUTE - now
end

-- Seconds are counted whole, and the one that began sixty ago counts too.
local function tokens(i, most, asked)
  local all = redis.call('HGETALL', KEYS[2 * i])
  local sums, seconds, used = {}, {}, 0
  for n = 1, #all, 2 do
    local at = tonumber(all[n])
    if at < second - 60 then
      redis.call('HDEL', KEYS[2 * i], all[n])
    else
      sums[at] = tonumber(all[n + 1])
      seconds[#seconds + 1] = at
      used = used + sums[at]
    end
  end
  table.sort(seconds)
  local missing, gone, wait = math.max(1, used + asked - most), 0, 0
  for _, at in ipairs(seconds) do
    gone = gone + sums[at]
    wait = (at + 61) * 1000 - now
    if gone >= missing then break end
  end
  return used, wait
end

local function add(i, at, amount)
  redis.call('HINCRBY', KEYS[2 * i], at, amount)
  redis.call('PEXPIRE', KEYS[2 * i], MINUTE + 2000)
end

if deed == 'take' then
  local asked, first = tonumber(ARGV[4]), tonumber(ARGV[5])

  -- Nil: there is room, or the request is in already.
  local function refusal(i)
    local most, most_tokens = tonumber(ARGV[4 + 2 * i]), tonumber(ARGV[5 + 2 * i])
    local used, wait = requests(i, most)
    if redis.call('ZSCORE', KEYS[2 * i - 1], id) then return nil end
    if most >= 0 and used >= most then return { i, 1, used, wait, 0 } end
    if most_tokens < 0 then return nil end
    used, wait = tokens(i, most_tokens, asked)
    -- A request that alone is over the limit goes when nothing else is counted, or it would never go.
    if used > 0 and used + asked > most_tokens then return { i, 2, used, wait, 0 } end
  end

  local function take(i)
    local new = redis.call('ZADD', KEYS[2 * i - 1], 'NX', now, id)
    redis.call('PEXPIRE', KEYS[2 * i - 1], MINUTE)
    if new == 1 and tonumber(ARGV[5 + 2 * i]) >= 0 then add(i, second, asked) end
  end

  for i = 1, first do
    local refused = refusal(i)
    if refused then return refused end
  end
  for i = 1, first do take(i) end
  for i = first + 1, #KEYS / 2 do
    if not refusal(i) then
      take(i)
      return { 0, 0, 0, 0, i - first }
    end
  end
  return { 0, 0, 0, 0, 0 }
end

if deed == 'look' then
  local seen = {}
  for i = 1, #KEYS / 2 do
    local used, wait = requests(i, tonumber(ARGV[2 + 2 * i]))
    local used_tokens, wait_tokens = tokens(i, tonumber(ARGV[3 + 2 * i]), 1)
    for _, figure in ipairs({ used, wait, used_tokens, wait_tokens }) do seen[#seen + 1] = figure end
  end
  return seen
end

for i = 1, #KEYS / 2 do
  local amount, at = tonumber(ARGV[3 + i]), redis.call('ZSCORE', KEYS[2 * i - 1], id)
  if deed == 'forget' then amount = -amount end
  -- What was charged too much is given back to its second; what came on top counts from now.
  if amount < 0 and at then add(i, math.floor(at / 1000), amount) end
  if amount > 0 then add(i, second, amount) end
  if deed == 'forget' then redis.call('ZREM', KEYS[2 * i - 1], id) end
end
return {}
