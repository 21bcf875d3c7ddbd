-- Removes a job. The row stays as a tombstone: its owner, if any, settles the run first; its history can be read; and
-- its key, and so its fences, never come back. $1 id.
UPDATE escapement.jobs SET state = 4, claim_at = NULL, planned_from = now() WHERE id = $1 AND state <> 4 RETURNING key
