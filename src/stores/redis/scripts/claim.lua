-- Claims jobs: what is due, by priority and then by time; then what will be due within the horizon, by time. Nothing of
-- queues that rest.
-- Safe when many run it: a row is claimed and taken out of the index of claimable rows in one step. The session's marker
-- is looked up in the same script, so a claim that runs after the session was ended here claims nothing.
-- ARGV: session, horizon, limit, '1' only to look, '1' what is due goes by time alone, only higher
-- priorities than this, queues...
-- Answers the time, '1' if the session is live, then only to look: class and order of each candidate; else its rows.
local now = Now()
if not call('HGET', P .. 's', ARGV[1]) then return {now, '0'} end
local limit = tonumber(ARGV[3])
local queues = {unpack(ARGV, 7)}
if call('SCARD', P .. 'pq') > 0 then
  local awake = {}
  if call('SISMEMBER', P .. 'pq', '') == 0 then
    for _, queue in ipairs(queues) do
      -- A label may stand behind the name.
      if call('SISMEMBER', P .. 'pq', string.match(queue, '^[^\31]*')) == 0 then awake[#awake + 1] = queue end
    end
  end
  queues = awake
end
local chosen = {}  -- {key, time, index, rank}: the smaller rank goes first
local function ByTime(a, b) return a[2] < b[2] or (a[2] == b[2] and a[1] < b[1]) end
local function Take(found)
  table.sort(found, ByTime)
  for i = 1, math.min(#found, limit - #chosen) do chosen[#chosen + 1] = found[i] end
end
local function Candidates(found, priority, rank, from, to)
  for _, queue in ipairs(queues) do
    local index = P .. 'c:' .. priority .. ':' .. queue
    local pairs_ = call('ZRANGEBYSCORE', index, from, to, 'WITHSCORES', 'LIMIT', 0, limit - #chosen)
    for i = 1, #pairs_, 2 do found[#found + 1] = {pairs_[i], tonumber(pairs_[i + 1]), index, rank} end
  end
end
local lowest = tonumber(ARGV[6]) + 1
local due = {}
for priority = 10, lowest, -1 do
  if #chosen >= limit then break end
  if ARGV[5] == '1' then
    Candidates(due, priority, 0, '-inf', now)
  else
    due = {}
    Candidates(due, priority, 10 - priority, '-inf', now)
    Take(due)
  end
end
if ARGV[5] == '1' then Take(due) end
if #chosen < limit then
  local soon = {}
  for priority = 10, lowest, -1 do Candidates(soon, priority, 11, '(' .. now, '(' .. Add(now, ARGV[2])) end
  Take(soon)
end
local reply = {now, '1'}
if ARGV[4] == '1' then
  for _, row in ipairs(chosen) do
    reply[#reply + 1] = tostring(row[4])
    reply[#reply + 1] = string.format('%.0f', row[2])
  end
  return reply
end
local bytes = 0
for _, found in ipairs(chosen) do
  local row = 'j:' .. found[1]
  local values = call('HMGET', P .. row, 'id', 'cr', 'cur', 'fire', 'due', 'att', 'ver', 'lost', 'beg', 'plan', 'pf', 'fl')
  local fence = call('HINCRBY', P .. row, 'fen', 1)
  call('HSET', P .. row, 'own', ARGV[1])
  call('ZREM', found[3], found[1])
  call('SADD', P .. 'o:' .. ARGV[1], found[1])
  if values[10] == '1' then call('SADD', P .. 'm:' .. ARGV[1], found[1]) end
  local text = call('HGET', P .. 'd:' .. found[1], 'd')
  reply[#reply + 1] = found[1]
  reply[#reply + 1] = string.format('%.0f', fence)
  reply[#reply + 1] = text
  for i = 1, 11 do reply[#reply + 1] = values[i] end
  reply[#reply + 1] = values[12] or '0'
  bytes = bytes + #text
  if bytes > 8388608 then break end  -- the next call takes the others
end
return reply
