-- Resume, step 1: locks the job's row and reads it. $1 id.
SELECT j.key, d.definition::text, j.state, j.created_at, j.cursor, j.fire_time, j.due_at, j.attempt, j.version, j.lost,
       j.begun, j.to_plan, j.planned_from, j.owner IS NOT NULL, j.fence, now(),
       CASE WHEN j.completed_fire = j.fire_time AND j.fire_time > j.cursor THEN j.completed_at END, j.failures
FROM escapement.jobs j JOIN escapement.definitions d ON d.job = j.key AND d.version = j.version
WHERE j.id = $1 AND j.state <> 4 FOR UPDATE OF j
