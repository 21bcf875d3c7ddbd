-- Marks the runs under way of a job and of what was triggered of it. The mark names fence, fire time and attempt, so that
-- it is void as soon as the run is settled or changes hands. $1 id. Gives how many jobs have that id, and how many marks.
WITH job AS (
  SELECT key FROM escapement.jobs WHERE id = $1 AND state <> 4
), target AS (
  SELECT key FROM job
  UNION ALL
  SELECT c.key FROM escapement.jobs c JOIN job ON c.parent = job.key WHERE c.parent IS NOT NULL
), marked AS (
  UPDATE escapement.jobs j SET cancel_fence = j.fence, cancel_fire = j.fire_time, cancel_attempt = j.attempt
  FROM target WHERE j.key = target.key AND j.owner IS NOT NULL AND j.due_at <= clock_timestamp()
  RETURNING 1
)
SELECT (SELECT count(*) FROM job), (SELECT count(*) FROM marked)
