-- Reclaim, step 3: rows of an ended session become unowned under a new fence, and their time to look stays what it was.
-- Rows locked by others are skipped: the caller repeats until none is left. Settles nothing.
-- $1 session, $2 whether its pod died (it counts as lost then).
WITH mine AS MATERIALIZED (
  SELECT key FROM escapement.jobs WHERE owner = $1 AND owner IS NOT NULL ORDER BY key FOR NO KEY UPDATE SKIP LOCKED
), handed AS (
  UPDATE escapement.jobs j SET owner = NULL, fence = fence + 1,
    lost = lost + CASE WHEN $2 THEN 1 ELSE 0 END,
    claim_at = CASE WHEN j.state = 1 THEN CASE WHEN j.to_plan THEN now() ELSE j.due_at END END
  FROM mine WHERE j.key = mine.key
  RETURNING 1
)
SELECT (SELECT count(*) FROM handed), (SELECT count(*) FROM escapement.jobs WHERE owner = $1 AND owner IS NOT NULL)
