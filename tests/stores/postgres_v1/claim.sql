-- Claims due jobs for a live session.
-- Safe when many run it: the session's row is locked against its end (KEY SHARE stops reclaim's FOR UPDATE, but not the
-- heartbeat); if the session was ended meanwhile, the lock finds no live row and nothing is claimed. Claimers skip each
-- other's rows; a row taken since the snapshot fails the recheck of claim_at.
-- $1 session, $2 horizon in microseconds, $3 limit, $4 queues. No row: the session is ended. Null key: nothing due.
WITH live AS MATERIALIZED (
  SELECT id FROM escapement.sessions WHERE id = $1 AND ended_at IS NULL FOR KEY SHARE
), due AS MATERIALIZED (
  SELECT key FROM escapement.jobs
  WHERE claim_at IS NOT NULL AND claim_at < now() + $2 * interval '1 microsecond' AND queue = ANY ($4)
    AND EXISTS (SELECT FROM live)
  ORDER BY claim_at LIMIT $3
  FOR NO KEY UPDATE SKIP LOCKED
), taken AS (
  UPDATE escapement.jobs j SET owner = $1, fence = fence + 1, claim_at = NULL
  FROM due WHERE j.key = due.key
  RETURNING j.*
), told AS (
  SELECT t.*, d.definition::text AS definition
  FROM taken t JOIN escapement.definitions d ON d.job = t.key AND d.version = t.version
)
SELECT clock_timestamp(), t.key, t.id, t.definition, t.fence, t.created_at, t.cursor, t.fire_time, t.due_at, t.attempt,
       t.version, t.lost, t.begun, t.to_plan, t.planned_from
FROM live LEFT JOIN told t ON true
