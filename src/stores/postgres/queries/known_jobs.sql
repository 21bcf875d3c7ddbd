-- Which of some ids are jobs. Reads only. $1 ids.
SELECT id FROM escapement.jobs WHERE id = ANY ($1) AND state <> 4 AND parent IS NULL
