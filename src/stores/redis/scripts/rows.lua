-- Reads jobs, a page of them. ARGV: '' and id, or lower and upper bound of ids as of ZRANGEBYLEX; most, state or ''.
-- Answers the last id looked at, or '' when there are no more, then for each row: key, id, definition, state, version,
-- created, cursor, fire time, due, attempt, lost, begun, to plan, planned from, owner's pod or '', fence, settled total,
-- ended reigns, open reign, history dropped up to or '', failures in a row.
local reply = {''}
local ids
if ARGV[1] == '' then
  ids = {ARGV[2]}
else
  ids = call('ZRANGEBYLEX', P .. 'ids', ARGV[1], ARGV[2], 'LIMIT', 0, ARGV[3])
  if #ids == tonumber(ARGV[3]) then reply[1] = ids[#ids] end
end
local bytes = 0
for _, id in ipairs(ids) do
  local row = LoadById(id)
  if row and (ARGV[4] == '' or row.st == ARGV[4]) then
    local d = call('HMGET', P .. 'd:' .. row.key, 'd', 'r', 'o')
    local pod = row.own ~= '' and call('HGET', P .. 's', row.own) or ''
    for _, value in ipairs({row.key, id, d[1], row.st, row.ver, row.cr, row.cur, row.fire, row.due, row.att, row.lost,
                            row.beg, row.plan, row.pf, pod, row.fen, row.tot, d[2], d[3],
                            call('HGET', P .. 'ht', id) or '', row.fl}) do
      reply[#reply + 1] = value
    end
    bytes = bytes + #d[1]
    if bytes > 8388608 and ARGV[1] ~= '' then
      reply[1] = id
      break
    end
  end
end
return reply
