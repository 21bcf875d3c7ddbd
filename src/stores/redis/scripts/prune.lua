-- Drops history that was settled before an instant. ARGV: the instant, where to go on (0 at first), how many jobs.
-- Answers where to go on, or -1 at the end.
local from, most = tonumber(ARGV[2]), tonumber(ARGV[3])
local ids = call('ZRANGE', P .. 'hi', from, from + most - 1)
local gone = 0
for _, id in ipairs(ids) do
  local list = P .. 'h:' .. id
  for _ = 1, 100 do  -- bounded: what is left goes with the next call for upkeep
    local records = call('LRANGE', list, 0, 19)
    local old = 0
    while old < #records and After(ARGV[1], Field(records[old + 1], 1)) do old = old + 1 end
    if old == 0 then break end
    call('LTRIM', list, old, -1)  -- first: a server whose memory is full lets a script go on that began by freeing some
    Trimmed(id, {unpack(records, 1, old)})
    if old < 20 then break end
  end
  if call('EXISTS', list) == 0 then
    call('ZREM', P .. 'hi', id)
    gone = gone + 1
    if call('HEXISTS', P .. 'keys', id) == 0 then call('HDEL', P .. 'ht', id) end
  end
end
return #ids < most and -1 or from + #ids - gone
