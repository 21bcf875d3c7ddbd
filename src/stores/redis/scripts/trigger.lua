-- Adds a triggered child to a job. The caller made its definition from the parent's; it counts only if the parent is
-- still the same. If it comes of a dead letter, the letter goes with it: of many who retry it, one does.
-- If it follows a job of some shard, it is made once for each number of that.
-- ARGV: shard, shards, parent's key, parent's version, instant, definition, schedule, queue, priority, first cursor, dead
-- letter or '', number of the job that it follows or ''.
-- Answers 1, 0 when the parent changed or is gone, -1 when the letter is, or it was made before.
local letter = ARGV[11]
if letter ~= '' and not call('ZSCORE', P .. 'dl', letter) then return -1 end
local parent = Load(ARGV[3])
if not parent or parent.ver ~= ARGV[4] or parent.st == '4' then return 0 end
local number = ARGV[12]
if number ~= '' and not call('SET', P .. 'fx:' .. number, '1', 'NX', 'EX', 604800) then return -1 end
local at = ARGV[5]
local cursor = ARGV[10]
local row = {id = parent.id, shard = ARGV[1], shards = ARGV[2], q = ARGV[8], pr = ARGV[9], rate = '0', par = parent.key,
             ver = '1', st = '1', cr = at, cur = cursor, fire = at, due = at, att = '1', lost = '0', beg = '0', plan = '0',
             pf = at, tot = '0', ended = '', open = '1 ' .. cursor .. ' ' .. ARGV[7]}
Insert(row, ARGV[6], ARGV[7], Now())
call('ZADD', P .. 'k:' .. parent.key, row.key, row.key)
if letter ~= '' then
  call('ZREM', P .. 'dl', letter)
  call('DEL', P .. 'dl:' .. letter)
end
return 1
