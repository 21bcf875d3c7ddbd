-- History of some jobs and of what was triggered of them, after a position in its order. Reads only.
-- $1 ids, $2 position's id (empty: from the start), $3 fire time, $4 attempt, $5 settled at, $6 limit.
-- Job by job, each by its index: a page costs what it holds, however many rows the jobs have.
WITH named AS (
  SELECT key, id FROM escapement.jobs WHERE id = ANY ($1) AND id >= $2 AND state <> 4 AND parent IS NULL
), wanted AS (
  SELECT key, id, false AS triggered FROM named
  UNION ALL
  SELECT c.key, named.id, true FROM escapement.jobs c JOIN named ON c.parent = named.key WHERE c.parent IS NOT NULL
)
SELECT w.id, r.fire_time, r.last_fire, r.attempt, r.verdict, r.settles, r.started_at, r.finished_at, r.settled_at,
       COALESCE((SELECT s.pod FROM escapement.sessions s WHERE s.id = r.session), ''), r.error, r.output, w.triggered
FROM (SELECT * FROM wanted ORDER BY id) w
CROSS JOIN LATERAL (
  SELECT * FROM escapement.runs r
  WHERE r.job = w.key
    AND (w.id > ($2 COLLATE "C") OR (r.fire_time >= $3 AND (r.fire_time, r.attempt, r.settled_at) > ($3, $4, $5)))
  ORDER BY r.fire_time, r.attempt, r.settled_at LIMIT $6
) r
ORDER BY w.id, r.fire_time, r.attempt, r.settled_at LIMIT $6
