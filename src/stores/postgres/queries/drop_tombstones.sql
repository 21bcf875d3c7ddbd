-- Removed jobs, triggered runs that are over and ended sessions beyond retention, whose history is gone. $1 days to keep.
WITH gone AS (
  DELETE FROM escapement.jobs
  WHERE (state = 4 OR (parent IS NOT NULL AND state = 3)) AND owner IS NULL AND planned_from < now() - $1 * interval '1 day'
  RETURNING key
), sessions AS (
  DELETE FROM escapement.sessions s WHERE s.ended_at < now() - $1 * interval '1 day'
    AND NOT EXISTS (SELECT FROM escapement.jobs j WHERE j.owner = s.id AND j.owner IS NOT NULL)
), triggered AS (
  DELETE FROM escapement.triggered t USING gone WHERE t.job = gone.key
)
DELETE FROM escapement.definitions d USING gone WHERE d.job = gone.key
