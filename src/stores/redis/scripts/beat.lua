-- Raises the beat of a live session, in shard 0, and shows all sessions: those too that were ended and still own rows
-- somewhere, so that any pod may finish what another began. ARGV: session or '' to read only, rate, owned, progress or ''.
-- Answers the time, '1' if live, then for each session: id, pod, beat, ttl, rate, owned, ended.
local live = '0'
if ARGV[1] ~= '' and call('HGET', P .. 'ss:' .. ARGV[1], 'ended') == '0' then
  live = '1'
  call('HINCRBY', P .. 'ss:' .. ARGV[1], 'beat', 1)
  call('HSET', P .. 'ss:' .. ARGV[1], 'rate', ARGV[2], 'owned', ARGV[3], 'progress', ARGV[4])
end
local reply = {Now(), live}
for _, session in ipairs(call('SMEMBERS', P .. 'live')) do
  local values = call('HMGET', P .. 'ss:' .. session, 'pod', 'beat', 'ttl', 'rate', 'owned', 'ended')
  reply[#reply + 1] = session
  for i = 1, 6 do reply[#reply + 1] = values[i] end
end
return reply
