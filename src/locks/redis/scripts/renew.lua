-- Safe with many callers: the token is compared and the lease prolonged in one step, so a holder that lost the lock
-- never prolongs the lease of the next one. Renewing twice is renewing once.
-- KEYS: lock. ARGV: token, ttl in ms. Answers 1, or 0 when the lock is lost.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return 0
end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
