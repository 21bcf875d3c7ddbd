-- Which rows that a session owns did a user change, pause, remove or cancel? Marks that no longer hold are dropped. At
-- most 200 in a call; the others come with later beats, when these were handed back.
-- A failover may have lost the session's marker here: it can neither claim nor commit then, and is better off dead.
-- ARGV: session. Answers '1' if its marker is there, rate and number of the shard's active rows, then for each: key, '1' if changed, '1' if to
-- cancel, fire time, attempt.
local marks = P .. 'm:' .. ARGV[1]
local n = call('HMGET', P .. 'n', 'rate', 'st1')
local reply = {tostring(call('HEXISTS', P .. 's', ARGV[1])), n[1] or '0', n[2] or '0'}
for _, key in ipairs(call('SRANDMEMBER', marks, 200)) do
  local v = call('HMGET', P .. 'j:' .. key, 'own', 'plan', 'st', 'cx', 'fire', 'att')
  local changed = v[2] == '1' or v[3] ~= '1'
  if v[1] ~= ARGV[1] or not (changed or v[4] == '1') then
    call('SREM', marks, key)
  else
    for _, value in ipairs({key, changed and '1' or '0', v[4] == '1' and '1' or '0', v[5], v[6]}) do
      reply[#reply + 1] = value
    end
  end
end
return reply
