-- Dead letters in the order of their ids. Reads only. $1 job id, or null for all, $2 after this id, $3 limit, $4 with payloads.
SELECT id, job_id, CASE WHEN $4::boolean THEN payload ELSE '' END, fire_time, attempts, verdict, error, triggered, settled_at
FROM escapement.dead_letters
WHERE id > $2 AND ($1::text IS NULL OR job_id = $1)
ORDER BY id LIMIT $3
