-- Takes unique keys for jobs that are about to be added in the same transaction; others wait for its end.
-- Arrays: $1 key, $2 id, $3 created, $4 window in microseconds. Gives the ids of jobs whose key another job holds.
SELECT f.id FROM escapement.take_keys($1::text[], $2::text[], $3::timestamptz[], $4::bigint[]) AS f (id)
