-- Whether jobs hold unique keys: those that are there and define them, while they are not finished, and in their window.
-- ARGV: for each: id, key. Answers for each 1 or 0.
local now, answers = Now(), {}
for i = 1, #ARGV, 2 do
  local row = LoadById(ARGV[i])
  local read, job = pcall(cjson.decode, row and call('HGET', P .. 'd:' .. row.key, 'd') or '')
  local holds = read and type(job) == 'table' and job.unique == ARGV[i + 1] and
                (row.st ~= '3' or After(Add(row.cr, job.unique_for_us or 0), now))
  answers[#answers + 1] = holds and 1 or 0
end
return answers
