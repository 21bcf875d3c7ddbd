-- Lets a queue rest in this shard, or go on. Doing it twice is doing it once. ARGV: queue or '' for everything, '1' to
-- let it rest.
if ARGV[2] == '1' then
  call('SADD', P .. 'pq', ARGV[1])
else
  call('SREM', P .. 'pq', ARGV[1])
end
return 1
