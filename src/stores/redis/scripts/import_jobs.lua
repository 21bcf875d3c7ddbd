-- Adds jobs as they were in another store: all of a call, or none when one is there already.
-- ARGV: shard, shards, the instant up to which unique keys are taken for them or ''; for each: id, definition, schedule, queue, priority, rate, state, version, created, cursor, fire
-- time, due, attempt, lost, begun, to plan, planned from, settled total, ended reigns, open reign, failures in a row.
-- Answers '', or the id that is there, or '\0' when it is too late for the keys.
local now = Now()
if ARGV[3] ~= '' and not After(ARGV[3], now) then return '\0' end
for i = 4, #ARGV, 21 do
  if call('HEXISTS', P .. 'keys', ARGV[i]) == 1 then return ARGV[i] end
end
for i = 4, #ARGV, 21 do
  local row = {shard = ARGV[1], shards = ARGV[2], par = ''}
  local text, schedule
  row.id, text, schedule, row.q, row.pr, row.rate, row.st, row.ver, row.cr, row.cur, row.fire, row.due, row.att, row.lost,
    row.beg, row.plan, row.pf, row.tot, row.ended, row.open, row.fl = unpack(ARGV, i, i + 20)
  Insert(row, text, schedule, now)
  call('HSET', P .. 'keys', row.id, row.key)
  call('ZADD', P .. 'ids', 0, row.id)
end
return ''
