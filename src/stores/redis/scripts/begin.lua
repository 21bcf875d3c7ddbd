-- Marks occurrences as started. Safe when many run it: a row is marked only where owner, fence, fire time and attempt
-- are equal and the session is live here. Marking twice is marking once.
-- ARGV: session; for each: key, fence, fire time, attempt. Answers 1 or 0 for each.
local live = call('HGET', P .. 's', ARGV[1])
local answers = {}
for i = 2, #ARGV, 4 do
  local row = P .. 'j:' .. ARGV[i]
  local v = call('HMGET', row, 'own', 'fen', 'fire', 'att')
  local may = live and v[1] == ARGV[1] and v[2] == ARGV[i + 1] and v[3] == ARGV[i + 2] and v[4] == ARGV[i + 3]
  if may then call('HSET', row, 'beg', '1') end
  answers[#answers + 1] = may and 1 or 0
end
return answers
