-- Safe with many callers: each holder's own entries are removed, in one step. Doing it twice is doing it once.
-- KEYS: each once. ARGV: pairs of the number of a key and a holder.
for i = 1, #ARGV, 2 do
  redis.call('ZREM', KEYS[tonumber(ARGV[i])], ARGV[i + 1])
end
return #ARGV / 2
