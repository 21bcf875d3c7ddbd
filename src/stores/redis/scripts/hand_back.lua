-- After a session was ended in shard 0: takes away its marker here, in the same step as the first rows, so that whatever
-- it claimed before is found and it claims nothing after. Rows become unowned under a new fence, and their time to look
-- stays what it was. Settles nothing. At most 200 rows: the caller repeats until none is left.
-- ARGV: session, '1' if its pod died. Answers rows handed back, rows left.
local owned = P .. 'o:' .. ARGV[1]
call('HDEL', P .. 's', ARGV[1])
local function Disown(row)
  TakeOut(row)
  row.own, row.cx = '', ''
  row.fen = Add(row.fen, 1)
  if ARGV[2] == '1' then row.lost = Add(row.lost, 1) end
  PutBack(row)
end
local keys = call('SRANDMEMBER', owned, 200)
for _, key in ipairs(keys) do
  local row = Load(key)
  -- A row that a hand spoiled (a number that is none) stays behind; it must not keep the others.
  if not (row and row.own == ARGV[1] and pcall(Disown, row)) then call('SREM', owned, key) end
end
local left = call('SCARD', owned)
if left > 0 then
  call('SADD', P .. 'left', ARGV[1])
else
  call('SREM', P .. 'left', ARGV[1])
  call('DEL', P .. 'm:' .. ARGV[1])
end
return {#keys, left}
