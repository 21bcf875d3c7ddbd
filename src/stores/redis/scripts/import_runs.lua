-- Adds history to jobs that are there. A triggered run gets a key of its own: the job's ledger must not count it.
-- ARGV: rows of history kept; for each: id, '1' if triggered, settled at, pod, rest of the mark after its key, rest of
-- the record. Answers '', or an id that is not there; nothing is added then.
local keys = {}
for i = 2, #ARGV, 6 do
  keys[i] = call('HGET', P .. 'keys', ARGV[i])
  if not keys[i] then return ARGV[i] end
end
for i = 2, #ARGV, 6 do
  local key, parent = keys[i], ''
  if ARGV[i + 1] == '1' then key, parent = '0', keys[i] end
  AddHistory(ARGV[i], table.concat({ARGV[i + 2], ARGV[i + 3], parent, key, ARGV[i + 4], ARGV[i + 5]}, '\0'),
             tonumber(ARGV[1]))
  local last = call('ZSCORE', P .. 'hi', ARGV[i])
  if not last or After(ARGV[i + 2], last) then call('ZADD', P .. 'hi', ARGV[i + 2], ARGV[i]) end
end
return ''
