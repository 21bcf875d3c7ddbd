-- Makes a child row that runs a job once more. SHARE keeps the job from being removed meanwhile without it. If it comes of
-- a dead letter, the letter goes with it: of many who retry it, one deletes it, and nobody else makes a child.
-- $1 id, $2 definition, $3 queue, $4 priority, $5 now, $6 dead letter or null. No row: there is no such job or letter.
WITH parent AS MATERIALIZED (
  SELECT key, id FROM escapement.jobs WHERE id = $1 AND state <> 4 FOR SHARE
), letter AS (
  DELETE FROM escapement.dead_letters WHERE id = $6 AND EXISTS (SELECT FROM parent) RETURNING id
), child AS (
  INSERT INTO escapement.jobs (id, queue, priority, state, version, attempt, lost, begun, to_plan, created_at, planned_from,
                               cursor, fire_time, due_at, claim_at, fence, settled_total, rate, parent)
  SELECT p.id || E'\x01' || nextval('escapement.triggers'), E'\x01' || $3, $4::integer, 1, 1, 1, 0, false, false, $5, $5,
         $5 - interval '1 microsecond', $5, $5, $5, (extract(epoch FROM $5::timestamptz) * 1000)::bigint, 0, 0, p.key
  FROM parent p WHERE $6::bigint IS NULL OR EXISTS (SELECT FROM letter)
  RETURNING key
)
INSERT INTO escapement.triggered (job, definition) SELECT key, $2::text::jsonb FROM child RETURNING job
