-- Jobs by id. Reads only. $1 exact id or null, $2 id prefix (LIKE pattern), $3 state or null, $4 limit.
SELECT j.id, d.definition::text, j.version, j.state, j.created_at, j.cursor, j.fire_time, j.attempt, s.pod, j.fence,
       j.settled_total
FROM escapement.jobs j
JOIN escapement.definitions d ON d.job = j.key AND d.version = j.version
LEFT JOIN escapement.sessions s ON s.id = j.owner
WHERE j.state <> 4 AND ($1::text IS NULL OR j.id = $1) AND j.id LIKE $2 AND ($3::integer IS NULL OR j.state = $3)
ORDER BY j.id LIMIT $4
