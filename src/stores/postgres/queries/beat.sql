-- Raises the beat of a session that was not ended. $1 session, $2 rate, $3 owned jobs, $4 progress or NULL.
UPDATE escapement.sessions SET beat = beat + 1, rate = $2, owned = $3, progress = $4
WHERE id = $1 AND ended_at IS NULL RETURNING beat
