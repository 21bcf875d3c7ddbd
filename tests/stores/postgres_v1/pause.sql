-- Pauses an active job; one that is not active stays as it is. An owner learns of it at its commit or heartbeat.
-- $1 id. No row: there is no such job.
UPDATE escapement.jobs SET state = CASE WHEN state = 1 THEN 2 ELSE state END, claim_at = CASE WHEN state = 1 THEN NULL ELSE claim_at END
WHERE id = $1 AND state <> 4 RETURNING key
