-- Safe with many callers: a script runs alone, so the name is taken by one token only, and the fence grows by one for
-- each that took it. The fence starts from the server's clock, so that it goes on growing after the data were lost.
-- KEYS: lock, fence. ARGV: token, ttl in ms. Answers the fence, or nil when somebody else holds the lock.
if not redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then
  return false
end
local now = redis.call('TIME')
redis.call('SET', KEYS[2], string.format('%s%06d', now[1], tonumber(now[2])), 'NX')
return redis.call('INCR', KEYS[2])
