-- What live sessions sent of their runs with their last heartbeat, in shard 0. Reads only. Answers for each: pod, JSON.
local reply = {}
for _, session in ipairs(call('SMEMBERS', P .. 'live')) do
  local v = call('HMGET', P .. 'ss:' .. session, 'pod', 'progress', 'ended')
  if v[3] == '0' and v[1] and v[2] and v[2] ~= '' then
    reply[#reply + 1] = v[1]
    reply[#reply + 1] = v[2]
  end
end
return reply
