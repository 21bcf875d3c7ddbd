-- Opens a session, in shard 0. Safe when many run it: each gets a number of its own, above all that were given before
-- even if the server lost the last of them in a failover. ARGV: pod, ttl in us. Answers the session.
local session = NextNumber('session', Now())
call('HSET', P .. 'ss:' .. session, 'pod', ARGV[1], 'ttl', ARGV[2], 'beat', '1', 'rate', '0', 'owned', '0', 'ended', '0')
call('SADD', P .. 'live', session)
return session
