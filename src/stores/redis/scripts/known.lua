-- Reads only. ARGV: ids.... Answers 1 for each that is a job's, else 0.
local answers = {}
for i, id in ipairs(ARGV) do answers[i] = call('HEXISTS', P .. 'keys', id) end
return answers
