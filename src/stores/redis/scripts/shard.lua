-- What all scripts share; it stands before each of them. A script runs alone on its server, so that a transition of one
-- shard is atomic; it touches at most a few hundred rows, so that nobody waits long for it. Numbers of jobs, instants
-- (microseconds) and fences stay text and are compared as text, which is exact; where one is counted with, it is below
-- 2^53, or only an order.
--
-- KEYS[1] is the shard's prefix, "{esc:N}:". No such key exists, on purpose: while a cluster moves the slot away, the
-- server answers ASK instead of running a script that would see a part of the shard.
--   j:<key>  a job's row (hash, fields below)         d:<key>  its definition: d text, s schedule, r reigns that ended,
--   keys     id -> key (hash)                                  o the open reign
--   ids      ids in byte order (sorted set, score 0)  k:<key>  its triggered children (sorted set by key)
--   c:<priority>:<queue>  claimable rows by time      t:<key>  id of a row that is gone, for a day
--   s        session -> pod: the marker of each live session (hash)
--   o:<session>  rows it owns (set)                   m:<session>  owned rows that a user touched (set)
--   left     sessions ended here that own rows still (set)
--   h:<id>   history, the oldest first (list)         hi       ids by their last settlement (sorted set)
--   ht       id -> the greatest instant whose history was dropped (hash)
--   dl       dead letters by id (sorted set)           dl:<id>  one (hash: job, pay, fire, att, vd, err, tr, at)
--   fo       number -> name of a job to trigger (hash)  fx:<number>  it was triggered here, for a week
--   uk       unique key -> who took it last (hash): instant of that, '1' if the job came, held until, id; joined by blanks
--   pq       queues that rest; '' is everything (set)
--   queues   (set)    n  counts: st1..st4 rows by state, rate of active rows in 1e-9/s, key, fence and dead, the last given
-- In shard 0 only: meta (hash: version, shards, history), live (set of sessions), ss:<session> (hash), session.
local P, call = KEYS[1], redis.call

-- The shard's clock in microseconds, as text.
local function Now()
  local t = call('TIME')
  return string.format('%s%06d', t[1], tonumber(t[2]))
end
local function Later(a, b) return tonumber(a) > tonumber(b) and a or b end
local function Add(a, b) return string.format('%.0f', tonumber(a) + tonumber(b)) end
local function After(a, b) return tonumber(a) > tonumber(b) end

-- A number above all that were given before, even if the server lost the last of them in a failover.
local function NextNumber(field, now)
  local last = tonumber(call('HGET', P .. 'n', field) or '0')
  local number = string.format('%.0f', math.max(last + 1, math.floor(tonumber(now) / 1000)))
  call('HSET', P .. 'n', field, number)
  return number
end

-- own: session or ''. fen: fence. st: 1 active, 2 paused, 3 finished, 4 removed. plan: '1' to plan. pf: planned from.
-- par: key of the parent, or ''. cx: '1' cancel. rate: in 1e-9 points a second. fl: failures in a row; a row that an
-- older program made has none until it fails.
-- What a commit reads stands first: a small hash is searched from its front.
local FIELDS = {'own', 'fen', 'fire', 'att', 'ver', 'st', 'plan', 'lost', 'beg', 'tot', 'par', 'cx', 'id', 'cur', 'due',
                'q', 'pr', 'cr', 'pf', 'rate', 'fl'}
local function Load(key)
  local values = call('HMGET', P .. 'j:' .. key, unpack(FIELDS))
  if not values[1] then return nil end
  local row = {key = key}
  for i, field in ipairs(FIELDS) do row[field] = values[i] end
  row.fl = row.fl or '0'
  return row
end
local function LoadById(id)
  local key = call('HGET', P .. 'keys', id)
  return key and Load(key)
end

local function ClaimIndex(row) return P .. 'c:' .. row.pr .. ':' .. row.q end
-- A row to plan is looked at at once: its fire time belongs to a definition of the past.
local function LookAt(row) return row.plan == '1' and row.pf or row.due end

local function Count(row, by)
  call('HINCRBY', P .. 'n', 'st' .. row.st, by)
  if row.st == '1' and row.rate ~= '0' then call('HINCRBY', P .. 'n', 'rate', by == 1 and row.rate or '-' .. row.rate) end
end

-- A removed job whose run is settled, or a child that has done what it was made for.
local function IsOver(row) return row.own == '' and (row.st == '4' or (row.par ~= '' and row.st == '3')) end
local function Drop(row)
  local greatest = call('HGET', P .. 'n', 'fence') or '0'
  call('HSET', P .. 'n', 'fence', Later(greatest, row.fen))
  call('DEL', P .. 'j:' .. row.key, P .. 'd:' .. row.key, P .. 'k:' .. row.key)
  if row.par ~= '' then call('ZREM', P .. 'k:' .. row.par, row.key) end
  call('SET', P .. 't:' .. row.key, row.id, 'EX', 86400)
end

-- A row is taken out of the indexes before it is changed, and put back, or dropped, after.
local function TakeOut(row)
  Count(row, -1)
  if row.own ~= '' then
    call('SREM', P .. 'o:' .. row.own, row.key)
  elseif row.st == '1' then
    call('ZREM', ClaimIndex(row), row.key)
  end
end
local function PutBack(row)
  if IsOver(row) then return Drop(row) end
  Count(row, 1)
  if row.own ~= '' then
    call('SADD', P .. 'o:' .. row.own, row.key)
  elseif row.st == '1' then
    call('ZADD', ClaimIndex(row), LookAt(row), row.key)
  end
  local values = {}
  for _, field in ipairs(FIELDS) do
    values[#values + 1] = field
    values[#values + 1] = row[field]
  end
  call('HSET', P .. 'j:' .. row.key, unpack(values))
end
-- The owner is told with its next beat.
local function Tell(row)
  if row.own ~= '' then call('SADD', P .. 'm:' .. row.own, row.key) end
end

-- Adds a line of history. `record`: settled at, pod, parent, then what records.h says, joined by NUL. Keeps the newest
-- `cap` of a job, trimmed a hundred at a time, and remembers how far it is trimmed.
local function Field(record, n)
  local from = 1
  for _ = 2, n do from = string.find(record, '\0', from, true) + 1 end
  return string.sub(record, from, (string.find(record, '\0', from, true) or 0) - 1)
end
local function Trimmed(id, records)
  local mark = call('HGET', P .. 'ht', id)
  for _, record in ipairs(records) do
    if Field(record, 3) == '' then
      local last = Field(record, 10)
      if not mark or After(last, mark) then mark = last end
    end
  end
  if mark then call('HSET', P .. 'ht', id, mark) end
end
local function AddHistory(id, record, cap)
  local list = P .. 'h:' .. id
  local length = call('RPUSH', list, record)
  if length > cap + 100 then
    Trimmed(id, call('LRANGE', list, 0, length - cap - 1))
    call('LTRIM', list, -cap, -1)
  end
end

-- Inserts a row. Above every fence that this id, removed and created again, had before.
local function Insert(row, text, schedule, now)
  row.key = Add(tonumber(NextNumber('key', now)) * tonumber(row.shards), row.shard)
  local greatest = call('HGET', P .. 'n', 'fence') or '0'
  row.fen = Later(string.format('%.0f', math.floor(tonumber(now) / 1000)), Add(greatest, 1))
  row.own, row.cx = '', ''
  row.fl = row.fl or '0'
  call('SADD', P .. 'queues', row.q)
  call('HSET', P .. 'd:' .. row.key, 'd', text, 's', schedule, 'r', row.ended, 'o', row.open)
  PutBack(row)
end
