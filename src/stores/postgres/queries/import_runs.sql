-- Adds history to jobs that are there. What was triggered belongs to a child row that is over; pods that are not of this
-- store become ended sessions.
-- Arrays: $1 id, $2 fire time, $3 last fire, $4 attempt, $5 verdict, $6 settles, $7 started, $8 finished, $9 settled at, $10 pod,
-- $11 error, $12 output, $13 triggered.
WITH given AS MATERIALIZED (
  SELECT * FROM unnest($1::text[], $2::timestamptz[], $3::timestamptz[], $4::integer[], $5::smallint[], $6::bigint[],
                       $7::timestamptz[], $8::timestamptz[], $9::timestamptz[], $10::text[], $11::text[], $12::text[],
                       $13::boolean[])
       AS u (id, fire, last_fire, attempt, verdict, settles, started, finished, settled_at, pod, error, output, triggered)
), known AS MATERIALIZED (
  SELECT key, id FROM escapement.jobs WHERE id = ANY ($1) AND state <> 4 AND parent IS NULL
), children AS (
  INSERT INTO escapement.jobs (id, queue, priority, state, version, attempt, lost, begun, to_plan, created_at, planned_from,
                               cursor, due_at, fence, settled_total, rate, parent)
  SELECT k.id || E'\x01' || nextval('escapement.triggers'), '', 0, 4, 1, 1, 0, false, false, now(), now(), now(), now(), 0, 0, 0,
         k.key
  FROM known k WHERE EXISTS (SELECT FROM given g WHERE g.id = k.id AND g.triggered)
  RETURNING key, parent
), pods AS (
  INSERT INTO escapement.sessions (pod, ttl_us, ended_at)
  SELECT g.pod, 0, now() FROM given g WHERE g.pod <> '' GROUP BY g.pod
  RETURNING id, pod
)
INSERT INTO escapement.runs (settled_at, job, fire_time, last_fire, started_at, finished_at, fence, session, settles, attempt,
                             version, verdict, error, output)
SELECT g.settled_at, CASE WHEN g.triggered THEN c.key ELSE k.key END, g.fire, g.last_fire, g.started, g.finished, 0,
       COALESCE(p.id, 0), g.settles, g.attempt, 1, g.verdict, g.error, g.output
FROM given g
JOIN known k ON k.id = g.id
LEFT JOIN children c ON c.parent = k.key
LEFT JOIN pods p ON p.pod = g.pod
