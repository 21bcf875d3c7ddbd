-- Safe with many callers: a script runs alone, so between the counting and the taking nobody takes anything.
-- A key of slots is a sorted set of holders by when their lease ends, a key of starts one of holders by when they were
-- counted; microseconds of the server's clock, which numbers of sorted sets hold exactly.
-- KEYS: each once. ARGV: ttl in us, how many starts are remembered, then for each request: holder, number of limits,
-- number of rates; for each limit the number of its key, slots; for each rate the number of its key, starts, per in us.
-- Answers for each request -1 when it was granted, else the us until its rates can allow it.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local ttl = tonumber(ARGV[1])
local remembered = tonumber(ARGV[2])

local function number(n) return string.format('%.0f', n) end

local function keep_for(key, us)
  local ms = math.ceil(us / 1000)
  if redis.call('PTTL', key) < ms then redis.call('PEXPIRE', key, number(ms)) end
end

local answers = {}
local i = 3
while i <= #ARGV do
  local holder = ARGV[i]
  local first_limit = i + 3
  local first_rate = first_limit + 2 * ARGV[i + 1]
  local next_request = first_rate + 3 * ARGV[i + 2]
  local granted = true
  local again = 0
  for at = first_limit, first_rate - 1, 2 do
    local key = KEYS[tonumber(ARGV[at])]
    redis.call('ZREMRANGEBYSCORE', key, '-inf', number(now))
    if not redis.call('ZSCORE', key, holder) and redis.call('ZCARD', key) >= tonumber(ARGV[at + 1]) then
      granted = false
    end
  end
  for at = first_rate, next_request - 1, 3 do
    local key = KEYS[tonumber(ARGV[at])]
    local starts = tonumber(ARGV[at + 1])
    -- Of the newest so many starts, the oldest must have left the window.
    local oldest = redis.call('ZREVRANGE', key, starts - 1, starts - 1, 'WITHSCORES')
    local wait = oldest[2] and oldest[2] + ARGV[at + 2] - now or 0
    if wait > 0 and not redis.call('ZSCORE', key, holder) then
      granted = false
      again = math.max(again, wait)
    end
  end
  if granted then
    for at = first_limit, first_rate - 1, 2 do
      local key = KEYS[tonumber(ARGV[at])]
      redis.call('ZADD', key, number(now + ttl), holder)
      keep_for(key, ttl)
    end
    for at = first_rate, next_request - 1, 3 do
      local key = KEYS[tonumber(ARGV[at])]
      if redis.call('ZADD', key, 'NX', number(now), holder) == 1 then
        redis.call('ZREMRANGEBYRANK', key, 0, -(remembered + 1))
      end
      keep_for(key, tonumber(ARGV[at + 2]))
    end
  end
  answers[#answers + 1] = granted and -1 or again
  i = next_request
end
return answers
