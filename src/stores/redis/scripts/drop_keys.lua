-- Forgets who took unique keys, where that is as the caller knows it. ARGV: for each: key, record.
for i = 1, #ARGV, 2 do
  if call('HGET', P .. 'uk', ARGV[i]) == ARGV[i + 1] then call('HDEL', P .. 'uk', ARGV[i]) end
end
return #ARGV / 2
