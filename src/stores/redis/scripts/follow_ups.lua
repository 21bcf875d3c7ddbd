-- Jobs of any shard that are to be triggered because a job of this one has ended. Forgets those that were, and gives
-- some that are left. ARGV: numbers to forget...
-- Answers for each: number, name.
for _, number in ipairs(ARGV) do call('HDEL', P .. 'fo', number) end
return call('HSCAN', P .. 'fo', '0', 'COUNT', 100)[2]
