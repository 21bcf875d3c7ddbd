-- What does a session own? Reads only, a part in each call.
-- ARGV: session, '' to list what it owns; or keys.... Answers the time, '1' if the session is live here, then keys and
-- fences, or rows.
local reply = {Now(), call('HGET', P .. 's', ARGV[1]) and '1' or '0'}
if ARGV[2] == '' then
  for _, key in ipairs(call('SMEMBERS', P .. 'o:' .. ARGV[1])) do
    reply[#reply + 1] = key
    reply[#reply + 1] = call('HGET', P .. 'j:' .. key, 'fen') or '0'
  end
  return reply
end
for k = 2, #ARGV do
  local key = ARGV[k]
  local values = call('HMGET', P .. 'j:' .. key, 'own', 'fen', 'id', 'cr', 'cur', 'fire', 'due', 'att', 'ver', 'lost', 'beg',
                      'plan', 'pf', 'fl')
  if values[1] == ARGV[1] then
    reply[#reply + 1] = key
    reply[#reply + 1] = values[2]
    reply[#reply + 1] = call('HGET', P .. 'd:' .. key, 'd')
    for i = 3, 13 do reply[#reply + 1] = values[i] end
    reply[#reply + 1] = values[14] or '0'
  end
end
return reply
