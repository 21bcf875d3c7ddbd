-- History of all jobs, newest first. Reads only. $1 fire times from, $2 to (exclusive), $3 limit.
SELECT escapement.job_id(j.id), r.fire_time, r.last_fire, r.attempt, r.verdict, r.settles, r.started_at, r.finished_at,
       r.settled_at, COALESCE(s.pod, ''), r.error, r.output, j.parent IS NOT NULL
FROM escapement.runs r
JOIN escapement.jobs j ON j.key = r.job
LEFT JOIN escapement.sessions s ON s.id = r.session
WHERE r.fire_time >= $1 AND r.fire_time < $2
ORDER BY r.fire_time DESC, r.settled_at DESC LIMIT $3
