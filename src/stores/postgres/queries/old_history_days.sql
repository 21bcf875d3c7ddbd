-- Partitions of days beyond retention, and whether a detach of one was interrupted. Reads only. $1 days to keep.
SELECT c.relname::text, i.inhdetachpending
FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
WHERE i.inhparent = 'escapement.runs'::regclass
  AND c.relname < 'runs_' || to_char((now() AT TIME ZONE 'UTC')::date - $1, 'YYYYMMDD')
ORDER BY 1
