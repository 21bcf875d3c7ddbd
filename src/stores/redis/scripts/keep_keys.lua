-- The jobs came for which keys were taken: from now on each job holds its key by being there, or until an instant.
-- ARGV: for each: key, id of the job, that instant.
for i = 1, #ARGV, 3 do
  local key, id, till = unpack(ARGV, i, i + 2)
  local at, holder = string.match(call('HGET', P .. 'uk', key) or '', '^(%d+) %d %d+ (.*)$')
  if holder == id then call('HSET', P .. 'uk', key, at .. ' 1 ' .. till .. ' ' .. id) end
end
return #ARGV / 3
