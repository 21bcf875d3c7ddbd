-- Settles occurrences. Safe when many run it: a row changes only where the session is live here and owner, fence, fire
-- time and attempt are equal, and each change makes them unequal, so that a resend or a stale pod changes nothing.
-- ARGV: session, rows of history kept of a job, shard, shards; for each: key, fence, fire time, attempt, version, next cursor, next fire
-- time or '', next due, next attempt, '1' to keep, verdict or '', settles, failures in a row at which the job is paused
-- with this one or '', mark of the run, rest of its record, payload of what failed for good,
-- names of the jobs to run after it, a line each, or ''.
-- Answers the time, and a letter for each: k applied and kept, a applied, q applied before and kept, r applied before,
-- s stale.
local now = Now()
local session, cap = ARGV[1], tonumber(ARGV[2])
local pod = call('HGET', P .. 's', session)
local letters, settled = {}, {}

-- Records of this job under an older fence are older than the claim: no run of it lies behind them.
local function WasApplied(id, key, fence, mark)
  local wanted = '\0' .. mark .. '\0'
  local list = P .. 'h:' .. id
  for from = -20, -100000, -20 do
    local records = call('LRANGE', list, from, from + 19)
    for i = #records, 1, -1 do
      if string.find(records[i], wanted, 1, true) then return true end
      if Field(records[i], 4) == key and After(fence, Field(records[i], 6)) then return false end
    end
    if #records < 20 then return false end
  end
end

-- What is left of an occurrence that failed for good.
local function AddLetter(id, fire, attempt, verdict, rest, triggered, payload)
  local letter = Add(tonumber(NextNumber('dead', now)) * tonumber(ARGV[4]), ARGV[3])
  call('HSET', P .. 'dl:' .. letter, 'job', id, 'pay', payload, 'fire', fire, 'att', attempt, 'vd', verdict, 'err',
       Field(rest, 5), 'tr', triggered and '1' or '0', 'at', now)
  call('ZADD', P .. 'dl', letter, letter)
end

for i = 5, #ARGV, 17 do
  local key, fence, fire, attempt, version, cursor, next_fire, due, next_attempt, keep, verdict, settles, pause_at,
    mark, rest, payload, followers = unpack(ARGV, i, i + 16)
  local hash = P .. 'j:' .. key
  local own, fen, old_fire, att, ver, st, plan, lost, beg, tot, par, cx, id, fl = unpack(call(
    'HMGET', hash, 'own', 'fen', 'fire', 'att', 'ver', 'st', 'plan', 'lost', 'beg', 'tot', 'par', 'cx', 'id', 'fl'))
  local owns = pod and own == session and fen == fence
  local letter
  if not owns or old_fire ~= fire or att ~= attempt then
    id = id or call('GET', P .. 't:' .. key)
    local applied = verdict ~= '' and id and WasApplied(id, key, fence, mark)
    letter = applied and (owns and 'q' or 'r') or 's'
  elseif version ~= ver and (verdict == '' or verdict == '6' or verdict == '7' or verdict == '8' or verdict == '9') then
    -- The new definition may want these points, and must not inherit a point that it never had: its next owner plans
    -- from the change on.
    local row = Load(key)
    TakeOut(row)
    row.own, row.cx = '', ''
    PutBack(row)
    letter = 's'
  elseif verdict == '' and plan == '0' then
    -- A plan that keeps the occurrence leaves the row as it compares: once more, it would wipe the mark of a start.
    letter = 'q'
  else
    local outdated = version ~= ver
    if verdict ~= '' then
      AddHistory(id, table.concat({now, pod, par, mark, rest}, '\0'), cap)
      settled[#settled + 1] = now
      settled[#settled + 1] = id
      if settles ~= '0' then tot = Add(tot, settles) end
    end
    if plan == '1' and not outdated then
      -- The reign of the new version begins: what was planned before it is settled, or given up.
      local cur, pf = unpack(call('HMGET', hash, 'cur', 'pf'))
      local started = After(fire, cur) and (att ~= '1' or beg == '1' or lost ~= '0')
      local keeps = verdict ~= '' or (started and next_fire == fire)
      local last = keeps and fire or cur
      local from = (verdict ~= '' or not keeps) and Later(last, pf) or last
      local d = call('HMGET', P .. 'd:' .. key, 's', 'r', 'o')
      call('HSET', P .. 'd:' .. key, 'r', d[2] .. last .. ' ' .. d[3] .. '\n', 'o', ver .. ' ' .. from .. ' ' .. d[1])
    end
    local shown, lost_now = fire, lost
    if next_fire ~= '' and next_fire ~= fire then shown, lost_now = next_fire, '0' end
    if outdated and settles ~= '0' then
      -- The occurrence after it is the new version's to choose; until then the row shows the settled one, which nobody
      -- runs again, whoever dies before the plan is made.
      shown, lost_now = fire, '0'
    end
    -- Counted on the row: the pod's own count may be of before a resumption.
    fl = fl or '0'
    local failures = fl
    if verdict == '1' then failures = '0' end
    if settles ~= '0' and (verdict == '2' or verdict == '3' or verdict == '5') then
      failures = Add(fl, 1)
      AddLetter(id, fire, attempt, verdict, rest, par ~= '', payload)
    end
    -- Other shards have them: whoever reads this triggers them, once.
    for name in string.gmatch(followers, '[^\n]+') do
      call('HSET', P .. 'fo', Add(tonumber(NextNumber('follow', now)) * tonumber(ARGV[4]), ARGV[3]), name)
    end
    local more = next_fire ~= ''
    local pause = pause_at ~= '' and more and not outdated and st == '1' and not After(pause_at, failures)
    local kept = keep == '1' and more and not outdated and st == '1' and not pause
    if kept then
      if plan == '0' and beg == '0' and cx == '' and lost == lost_now then
        call('HSET', hash, 'cur', cursor, 'fire', shown, 'due', due, 'att', next_attempt, 'tot', tot)
      else
        call('HSET', hash, 'cur', cursor, 'fire', shown, 'due', due, 'att', next_attempt, 'tot', tot, 'lost', lost_now,
             'beg', '0', 'plan', '0', 'cx', '')
      end
      if failures ~= fl then call('HSET', hash, 'fl', failures) end
      letter = 'k'
    else
      local q, pr, pf, rate = unpack(call('HMGET', hash, 'q', 'pr', 'pf', 'rate'))
      local row = {key = key, own = '', fen = fen, fire = shown, att = next_attempt, st = st, cur = cursor, due = due,
                   plan = outdated and '1' or '0', pf = pf, q = q, pr = pr, par = par, id = id, rate = rate}
      call('SREM', P .. 'o:' .. session, key)
      if not more and not outdated and st ~= '4' then row.st = '3' end
      if pause then row.st = '2' end
      if IsOver(row) then
        row.st = st
        Count(row, -1)
        Drop(row)
      else
        if row.st ~= st then
          call('HINCRBY', P .. 'n', 'st' .. st, -1)
          if st == '1' and rate ~= '0' then call('HINCRBY', P .. 'n', 'rate', '-' .. rate) end
          Count(row, 1)
        end
        if row.st == '1' then call('ZADD', ClaimIndex(row), LookAt(row), key) end
        call('HSET', hash, 'cur', cursor, 'fire', shown, 'due', due, 'att', next_attempt, 'tot', tot, 'lost', lost_now,
             'beg', '0', 'plan', row.plan, 'cx', '', 'own', '', 'st', row.st, 'fl', failures)
      end
      letter = 'a'
    end
  end
  letters[#letters + 1] = letter
end
if #settled > 0 then call('ZADD', P .. 'hi', unpack(settled)) end
return {now, table.concat(letters)}
