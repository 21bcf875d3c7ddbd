-- What a session owns, without what it knows. Reads only.
-- $1 session, $2 known keys, $3 the fence of each. Rows as claim.sql gives them.
WITH live AS (
  SELECT id FROM escapement.sessions WHERE id = $1 AND ended_at IS NULL
), told AS (
  SELECT j.*, COALESCE(d.definition, c.definition)::text AS definition
  FROM escapement.jobs j
  LEFT JOIN escapement.definitions d ON d.job = j.key AND d.version = j.version
  LEFT JOIN escapement.triggered c ON c.job = j.key AND j.parent IS NOT NULL
  WHERE j.owner = $1
    AND NOT EXISTS (SELECT FROM unnest($2::bigint[], $3::bigint[]) k(key, fence) WHERE k.key = j.key AND k.fence = j.fence)
)
SELECT clock_timestamp(), t.key, escapement.job_id(t.id), t.definition, t.fence, t.created_at, t.cursor, t.fire_time, t.due_at, t.attempt,
       t.version, t.lost, t.begun, t.to_plan, t.planned_from,
       CASE WHEN t.completed_fire = t.fire_time AND t.fire_time > t.cursor THEN t.completed_at END, t.failures
FROM live LEFT JOIN told t ON true
