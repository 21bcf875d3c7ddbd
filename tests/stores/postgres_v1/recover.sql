-- What a session owns, without the jobs it knows. Reads only.
-- $1 session, $2 known keys. Rows as claim.sql gives them.
WITH live AS (
  SELECT id FROM escapement.sessions WHERE id = $1 AND ended_at IS NULL
), told AS (
  SELECT j.*, d.definition::text AS definition
  FROM escapement.jobs j JOIN escapement.definitions d ON d.job = j.key AND d.version = j.version
  WHERE j.owner = $1 AND j.key <> ALL ($2)
)
SELECT clock_timestamp(), t.key, t.id, t.definition, t.fence, t.created_at, t.cursor, t.fire_time, t.due_at, t.attempt,
       t.version, t.lost, t.begun, t.to_plan, t.planned_from
FROM live LEFT JOIN told t ON true
