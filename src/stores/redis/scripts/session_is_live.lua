-- Reads only, in shard 0. ARGV: sessions.... Answers 1 for each that is not ended, else 0.
local answers = {}
for i, session in ipairs(ARGV) do answers[i] = call('HGET', P .. 'ss:' .. session, 'ended') == '0' and 1 or 0 end
return answers
