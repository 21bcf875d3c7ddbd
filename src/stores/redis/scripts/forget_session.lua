-- Forgets an ended session that owns nothing any more, in shard 0. ARGV: session.
if call('HGET', P .. 'ss:' .. ARGV[1], 'ended') ~= '0' then
  call('SREM', P .. 'live', ARGV[1])
  call('DEL', P .. 'ss:' .. ARGV[1])
end
return 1
