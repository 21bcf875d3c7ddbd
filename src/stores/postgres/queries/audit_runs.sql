-- What settled points of some jobs in a window. Reads only. $1 keys, $2 from, $3 to (exclusive).
SELECT job, fire_time, last_fire, settles, verdict FROM escapement.runs
WHERE job = ANY ($1) AND settles > 0 AND last_fire >= $2 AND fire_time < $3
ORDER BY job
