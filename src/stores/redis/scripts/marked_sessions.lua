-- Reads only. Answers the sessions that have a marker or rows left here.
local reply = call('HKEYS', P .. 's')
for _, session in ipairs(call('SMEMBERS', P .. 'left')) do reply[#reply + 1] = session end
return reply
