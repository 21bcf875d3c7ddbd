-- Takes unique keys for jobs that are to be created or changed, each for a short time: in that time the job must come, and
-- in that time nobody else is given the key. Safe with many callers: what was found out elsewhere about who took a key
-- before counts only as long as its record is the same, and no two records of a key are.
-- ARGV: that time in microseconds; for each: key, id of the job, a record of which the caller knows that it holds
-- nothing, or ''. Answers for each two: '1' and the new record; '0' and '' when another job holds it; '2' and the record
-- that took it before, when it depends on whether that job holds it still.
local now, answers = Now(), {}
for i = 2, #ARGV, 3 do
  local key, id, void = unpack(ARGV, i, i + 2)
  local record = call('HGET', P .. 'uk', key)
  local at, kept, till, holder = string.match(record or '', '^(%d+) (%d) (%d+) (.*)$')
  local answer, told = '0', ''
  if not at or holder == id or record == void then
    local after = at and Add(at, 1) or '0'
    told = Later(now, after) .. ' 0 ' .. (holder == id and till or '0') .. ' ' .. id
    call('HSET', P .. 'uk', key, told)
    answer = '1'
  elseif not After(till, now) and (kept == '1' or not After(Add(at, ARGV[1]), now)) then
    answer, told = '2', record
  end
  answers[#answers + 1] = answer
  answers[#answers + 1] = told
end
return answers
