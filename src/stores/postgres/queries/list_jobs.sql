-- Jobs by id. Reads only. $1 exact id or null, $2 id prefix (LIKE pattern), $3 state or null, $4 limit, $5 after this id,
-- $6 metadata that they must have, an object, or null.
-- Triggered children are no jobs of their own.
SELECT j.id, d.definition::text, j.version, j.state, j.created_at, j.cursor, j.fire_time, j.attempt, s.pod, j.fence,
       j.settled_total, j.failures
FROM escapement.jobs j
JOIN escapement.definitions d ON d.job = j.key AND d.version = j.version
LEFT JOIN escapement.sessions s ON s.id = j.owner
WHERE j.state <> 4 AND j.parent IS NULL AND j.id > $5 AND ($1::text IS NULL OR j.id = $1) AND j.id LIKE $2 AND ($3::integer IS NULL OR j.state = $3)
  AND ($6::text IS NULL OR d.definition -> 'metadata' @> $6::text::jsonb)
ORDER BY j.id LIMIT $4
