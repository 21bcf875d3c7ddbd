-- History, newest first. Reads only. $1 job id or null, $2 fire times from, $3 to (exclusive), $4 limit.
SELECT j.id, r.fire_time, r.last_fire, r.attempt, r.verdict, r.settles, r.started_at, r.finished_at, r.settled_at,
       COALESCE(s.pod, ''), r.error
FROM escapement.runs r
JOIN escapement.jobs j ON j.key = r.job
LEFT JOIN escapement.sessions s ON s.id = r.session
WHERE ($1::text IS NULL OR r.job IN (SELECT key FROM escapement.jobs WHERE id = $1))
  AND r.fire_time >= $2 AND r.fire_time < $3
ORDER BY r.fire_time DESC, r.settled_at DESC LIMIT $4
