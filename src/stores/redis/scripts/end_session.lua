-- Ends a session, in shard 0, where its death is decided: if its beat still is the one that was seen. Safe when many
-- run it: the comparison and the end are one step, and what is ended stays so.
-- ARGV: session, beat or '' for one's own. Answers 1 ended by this call, 0 ended before or never was, -1 it beat again.
local v = call('HMGET', P .. 'ss:' .. ARGV[1], 'beat', 'ended')
if v[2] ~= '0' then return 0 end
if ARGV[2] ~= '' and v[1] ~= ARGV[2] then return -1 end
call('HSET', P .. 'ss:' .. ARGV[1], 'ended', '1')
return 1
