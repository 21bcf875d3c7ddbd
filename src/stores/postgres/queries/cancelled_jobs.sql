-- Runs of a session that a user asked to cancel. Reads only; a partial index keeps it short. $1 session.
SELECT key, fire_time, attempt FROM escapement.jobs
WHERE owner = $1 AND cancel_fence IS NOT NULL AND cancel_fence = fence AND cancel_fire = fire_time AND cancel_attempt = attempt
