-- Removes a job with those of its triggered children that nobody owns; an owned row is a tombstone until its run is
-- settled or handed back. At most 200 children in a call: with more, the job itself stays for the next call.
-- ARGV: id. Answers 1 removed, 2 call again, 0 when there is no such job.
local row = LoadById(ARGV[1])
if not row then return 0 end
local waiting = 0
local from = '-inf'
repeat
  local children = call('ZRANGEBYSCORE', P .. 'k:' .. row.key, from, '+inf', 'LIMIT', 0, 200)
  for _, key in ipairs(children) do
    local child = Load(key)
    if child and child.own == '' then
      TakeOut(child)
      child.st = '4'
      PutBack(child)
      waiting = waiting + 1
    end
    from = '(' .. key
  end
  if waiting >= 200 then return 2 end
until #children < 200
TakeOut(row)
row.st = '4'
call('HDEL', P .. 'keys', row.id)
call('ZREM', P .. 'ids', row.id)
Tell(row)
PutBack(row)
return 1
