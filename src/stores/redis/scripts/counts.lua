-- Reads only. Answers rows that are active, paused, finished, removed; the overdue: unowned and their time has come.
local now = Now()
local overdue = 0
for _, queue in ipairs(call('SMEMBERS', P .. 'queues')) do
  for priority = 0, 10 do
    overdue = overdue + call('ZCOUNT', P .. 'c:' .. priority .. ':' .. queue, '-inf', now)
  end
end
local n = call('HMGET', P .. 'n', 'st1', 'st2', 'st3', 'st4')
return {n[1] or '0', n[2] or '0', n[3] or '0', n[4] or '0', overdue}
