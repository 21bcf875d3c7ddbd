-- Discards dead letters. Safe when many run it, and beside a retry: each letter goes once, and is told to who did it.
-- ARGV: ids.... Answers 1 or 0 for each.
local answers = {}
for i, id in ipairs(ARGV) do
  answers[i] = call('ZREM', P .. 'dl', id)
  call('DEL', P .. 'dl:' .. id)
end
return answers
