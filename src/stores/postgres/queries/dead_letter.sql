-- What a retry needs of a dead letter. Reads only. $1 id.
SELECT job_id, payload FROM escapement.dead_letters WHERE id = $1
