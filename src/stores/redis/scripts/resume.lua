-- Makes a paused job active. What passed meanwhile is settled as one row of history: the caller computes it from the row
-- in the first answer, and asks again with it; it counts only if the row is still the same.
-- ARGV: id, rows of history kept; the second time: fence, fire time, attempt, version, '1' to skip, next cursor, next
-- fire time or '', next due, settles, mark (of no session), rest of its record.
-- Answers 1 done, 0 when there is no such job; else the row: key, fence, time, definition, then fields.
local row = LoadById(ARGV[1])
if not row then return 0 end
if row.st ~= '2' then return 1 end
local now = Now()
-- While its run is still going, the owner settles the rest by the late policy. With a change of definition pending, the
-- new version begins with the resumption.
if row.own == '' and row.plan == '0' then
  if #ARGV == 2 or ARGV[3] ~= row.fen or ARGV[4] ~= row.fire or ARGV[5] ~= row.att or ARGV[6] ~= row.ver then
    return {row.key, row.fen, now, call('HGET', P .. 'd:' .. row.key, 'd'), row.cr, row.cur, row.fire, row.due, row.att,
            row.ver, row.lost, row.beg, row.plan, row.pf, row.fl}
  end
  TakeOut(row)
  row.st = '1'
  if ARGV[7] == '1' then
    AddHistory(row.id, table.concat({now, '', row.par, ARGV[12], ARGV[13]}, '\0'), tonumber(ARGV[2]))
    call('ZADD', P .. 'hi', now, row.id)
    row.tot = Add(row.tot, ARGV[11])
    row.cur, row.due, row.att, row.beg = ARGV[8], ARGV[10], '1', '0'
    if ARGV[9] == '' then
      row.st = '3'
    elseif ARGV[9] ~= row.fire then
      row.fire, row.lost = ARGV[9], '0'
    end
  end
else
  TakeOut(row)
  row.st = '1'
  if row.own == '' then row.pf = now end
end
row.fl = '0'
PutBack(row)
return 1
