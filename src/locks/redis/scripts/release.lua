-- Safe with many callers: the token is compared and the lock deleted in one step, so nobody deletes a lock that
-- expired and was taken by somebody else meanwhile.
-- KEYS: lock. ARGV: token. Answers 1, or 0 when the lock was not held by this token.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return 0
end
return redis.call('DEL', KEYS[1])
