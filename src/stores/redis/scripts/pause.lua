-- Pauses a job. Pausing twice is pausing once. ARGV: id. Answers 1, or 0 when there is no such job.
local row = LoadById(ARGV[1])
if not row then return 0 end
if row.st == '1' then
  TakeOut(row)
  row.st = '2'
  Tell(row)
  PutBack(row)
end
return 1
