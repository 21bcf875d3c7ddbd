-- Reclaim, step 2, under the lock of step 1. $1 session.
UPDATE escapement.sessions SET ended_at = clock_timestamp() WHERE id = $1 AND ended_at IS NULL
