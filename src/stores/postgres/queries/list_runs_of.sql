-- History of one job and of what was triggered of it, newest first. Reads only.
-- $1 job id, $2 fire times from, $3 to (exclusive), $4 limit.
WITH named AS (
  SELECT key FROM escapement.jobs WHERE id = $1
), wanted AS (
  SELECT key FROM named
  UNION ALL
  SELECT c.key FROM escapement.jobs c JOIN named ON c.parent = named.key WHERE c.parent IS NOT NULL
)
SELECT escapement.job_id(j.id), r.fire_time, r.last_fire, r.attempt, r.verdict, r.settles, r.started_at, r.finished_at,
       r.settled_at, COALESCE(s.pod, ''), r.error, r.output, j.parent IS NOT NULL
FROM wanted
JOIN escapement.jobs j ON j.key = wanted.key
JOIN escapement.runs r ON r.job = wanted.key
LEFT JOIN escapement.sessions s ON s.id = r.session
WHERE r.fire_time >= $2 AND r.fire_time < $3
ORDER BY r.fire_time DESC, r.settled_at DESC LIMIT $4
