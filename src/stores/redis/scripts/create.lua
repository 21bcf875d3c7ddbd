-- Creates or changes jobs. Safe when many run it: the row is found by its id, or made, in the script itself.
-- ARGV: shard, shards; for each job: id, definition, schedule, queue, priority, rate, first cursor, first fire time or
-- '', the instant these were computed for, and that up to which its unique key is taken for it, or ''.
-- Answers for each: 0 created, 1 changed, 2 unchanged, 3 it is too late for its key.
local answers = {}
local now = Now()
for i = 3, #ARGV, 10 do
  local id, text, schedule, queue, priority, rate, cursor, fire, at, till = unpack(ARGV, i, i + 9)
  local row = LoadById(id)
  if till ~= '' and not After(till, now) then
    answers[#answers + 1] = 3
  elseif not row then
    row = {id = id, shard = ARGV[1], shards = ARGV[2], q = queue, pr = priority, rate = rate, par = '', ver = '1',
           st = fire == '' and '3' or '1', cr = at, cur = cursor, fire = fire == '' and cursor or fire,
           due = fire == '' and cursor or fire, att = '1', lost = '0', beg = '0', plan = '0', pf = at, tot = '0',
           ended = '', open = '1 ' .. cursor .. ' ' .. schedule}
    Insert(row, text, schedule, now)
    call('HSET', P .. 'keys', id, row.key)
    call('ZADD', P .. 'ids', 0, id)
    answers[#answers + 1] = 0
  elseif call('HGET', P .. 'd:' .. row.key, 'd') == text then
    answers[#answers + 1] = 2
  else
    TakeOut(row)
    call('HSET', P .. 'd:' .. row.key, 'd', text, 's', schedule)
    call('SADD', P .. 'queues', queue)
    row.q, row.pr, row.rate = queue, priority, rate
    row.ver = Add(row.ver, 1)
    row.plan, row.pf = '1', now
    if row.st == '3' then row.st = '1' end
    Tell(row)
    PutBack(row)
    answers[#answers + 1] = 1
  end
end
return answers
