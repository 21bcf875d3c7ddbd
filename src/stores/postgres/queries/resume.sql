-- Resume, step 2, under the lock of step 1: the paused stretch becomes one row of history.
-- $1 key, $2 cursor, $3 fire time or null, $4 due, $5 points skipped, $6 first skipped, $7 last skipped.
WITH resumed AS (
  UPDATE escapement.jobs SET
    state = CASE WHEN $3::timestamptz IS NULL THEN 3 ELSE 1 END,
    cursor = $2, fire_time = $3, due_at = $4, settled_total = settled_total + $5, failures = 0,
    planned_from = CASE WHEN to_plan THEN now() ELSE planned_from END,  -- a pending change begins with the resumption
    fence = fence + CASE WHEN $5 > 0 THEN 1 ELSE 0 END,
    claim_at = CASE WHEN owner IS NULL AND $3::timestamptz IS NOT NULL THEN CASE WHEN to_plan THEN now() ELSE $4 END END
  WHERE key = $1
  RETURNING key, fence, version
)
INSERT INTO escapement.runs (settled_at, job, fire_time, last_fire, fence, session, settles, attempt, version, verdict, error)
SELECT now(), key, $6, $7, fence, 0, $5, 1, version, 8, '' FROM resumed WHERE $5 > 0
