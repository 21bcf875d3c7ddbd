-- Removes a job. The row stays as a tombstone: its owner, if any, settles the run first; its history can be read; and
-- its key, and so its fences, never come back. Triggered runs that nobody owns go with it. $1 id.
WITH removed AS (
  UPDATE escapement.jobs SET state = 4, claim_at = NULL, planned_from = now() WHERE id = $1 AND state <> 4 RETURNING key
), waiting AS (
  UPDATE escapement.jobs c SET state = 4, claim_at = NULL, planned_from = now() FROM removed
  WHERE c.parent = removed.key AND c.parent IS NOT NULL AND c.owner IS NULL AND c.state = 1
)
SELECT key FROM removed
