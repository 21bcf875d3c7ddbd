-- Claims due jobs for a live session.
-- Safe when many run it: the session's row is locked against its end (KEY SHARE stops reclaim's FOR UPDATE, but not the
-- heartbeat); if the session was ended meanwhile, the lock finds no live row and nothing is claimed. Claimers skip each
-- other's rows; a row taken since the snapshot fails the recheck of claim_at.
-- Behind a backlog, when more is due than may be claimed, the higher priority goes first; otherwise all that is due is
-- among the earliest. The two ways exclude each other. Nothing is given of queues that rest.
-- $1 session, $2 horizon in microseconds, $3 limit, $4 queues, those of triggered runs among them, $5 by time alone, $6 only higher priorities than this. No row: the session is ended. Null key: nothing due.
WITH live AS MATERIALIZED (
  SELECT id FROM escapement.sessions WHERE id = $1 AND ended_at IS NULL FOR KEY SHARE
), awake AS MATERIALIZED (
  SELECT array_agg(q) AS queues FROM unnest($4::text[]) AS q
  WHERE NOT EXISTS (SELECT FROM escapement.paused_queues p WHERE p.queue IN ('', split_part(ltrim(q, E'\x01'), E'\x1f', 1)))
), backlog AS MATERIALIZED (
  SELECT count(*) > $3 AND NOT $5 AS found FROM (
    SELECT FROM escapement.jobs WHERE claim_at IS NOT NULL AND claim_at <= now()
      AND queue = ANY ((SELECT queues FROM awake)::text[]) AND priority > $6 LIMIT $3 + 1) AS due
), earliest AS MATERIALIZED (
  SELECT key FROM escapement.jobs
  WHERE claim_at IS NOT NULL AND claim_at < now() + $2 * interval '1 microsecond'
    AND queue = ANY ((SELECT queues FROM awake)::text[]) AND priority > $6
    AND EXISTS (SELECT FROM live) AND NOT (SELECT found FROM backlog)
  ORDER BY claim_at LIMIT $3
  FOR NO KEY UPDATE SKIP LOCKED
), highest AS MATERIALIZED (
  SELECT key FROM escapement.jobs
  WHERE claim_at IS NOT NULL AND claim_at <= now()
    AND queue = ANY ((SELECT queues FROM awake)::text[]) AND priority > $6
    AND EXISTS (SELECT FROM live) AND (SELECT found FROM backlog)
  ORDER BY priority DESC, claim_at LIMIT $3
  FOR NO KEY UPDATE SKIP LOCKED
), due AS (
  SELECT key FROM earliest UNION ALL SELECT key FROM highest
), taken AS (
  UPDATE escapement.jobs j SET owner = $1, fence = fence + 1, claim_at = NULL
  FROM due WHERE j.key = due.key
  RETURNING j.*
), told AS (
  SELECT t.*, COALESCE(d.definition, c.definition)::text AS definition
  FROM taken t
  LEFT JOIN escapement.definitions d ON d.job = t.key AND d.version = t.version
  LEFT JOIN escapement.triggered c ON c.job = t.key AND t.parent IS NOT NULL
)
SELECT clock_timestamp(), t.key, escapement.job_id(t.id), t.definition, t.fence, t.created_at, t.cursor, t.fire_time, t.due_at, t.attempt,
       t.version, t.lost, t.begun, t.to_plan, t.planned_from,
       CASE WHEN t.completed_fire = t.fire_time AND t.fire_time > t.cursor THEN t.completed_at END, t.failures
FROM live LEFT JOIN told t ON true
