-- Reads dead letters, a page of them. ARGV: after this id, job or '', '1' with payloads, how many to look at.
-- Answers the last id looked at, or '' when there are no more, then for each of the job's: id, job, payload or '', fire
-- time, attempts, verdict, error, '1' if triggered, settled at.
local reply = {''}
local ids = call('ZRANGEBYSCORE', P .. 'dl', '(' .. ARGV[1], '+inf', 'LIMIT', 0, ARGV[4])
if #ids == tonumber(ARGV[4]) then reply[1] = ids[#ids] end
local bytes = 0
for _, id in ipairs(ids) do
  local v = call('HMGET', P .. 'dl:' .. id, 'job', 'fire', 'att', 'vd', 'err', 'tr', 'at')
  if v[1] and (ARGV[2] == '' or v[1] == ARGV[2]) then
    local payload = ARGV[3] == '1' and call('HGET', P .. 'dl:' .. id, 'pay') or ''
    for _, value in ipairs({id, v[1], payload, v[2], v[3], v[4], v[5], v[6], v[7]}) do reply[#reply + 1] = value end
    bytes = bytes + #payload
    if bytes > 8388608 then
      reply[1] = id
      break
    end
  end
end
return reply
