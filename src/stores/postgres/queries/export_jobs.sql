-- Jobs as they stand, in the order of their ids. Reads only. $1 after this id, $2 limit.
SELECT j.key, j.id, d.definition::text, j.version, j.state, j.created_at, j.cursor, j.fire_time, j.due_at, j.attempt, j.lost,
       j.begun, j.to_plan, j.planned_from, j.settled_total,
       CASE WHEN j.completed_fire = j.fire_time AND j.fire_time > j.cursor THEN j.completed_at END, j.failures
FROM escapement.jobs j JOIN escapement.definitions d ON d.job = j.key AND d.version = j.version
WHERE j.state <> 4 AND j.parent IS NULL AND j.id > $1
ORDER BY j.id LIMIT $2
