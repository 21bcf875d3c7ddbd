-- Marks a job and its triggered children where they are owned and their time to look has come; beats tell the owners.
-- ARGV: id, the child after which to go on, or ''. Answers the number marked and the last child looked at, or '' when
-- there are no more; -1 when there is no such job.
local row = LoadById(ARGV[1])
if not row then return {-1, ''} end
local now = Now()
local marked = 0
local function Mark(job)
  if job and job.own ~= '' and not After(job.due, now) then
    call('HSET', P .. 'j:' .. job.key, 'cx', '1')
    Tell(job)
    marked = marked + 1
  end
end
if ARGV[2] == '' then Mark(row) end
local from = ARGV[2] == '' and '-inf' or '(' .. ARGV[2]
local children = call('ZRANGEBYSCORE', P .. 'k:' .. row.key, from, '+inf', 'LIMIT', 0, 200)
for _, key in ipairs(children) do Mark(Load(key)) end
return {marked, children[200] or ''}
