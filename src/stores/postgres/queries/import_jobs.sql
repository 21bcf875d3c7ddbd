-- Adds jobs as another store had them, unowned, with the versions that planned. An id that is there already is an error.
-- Arrays, one element for a job: $1 id, $2 queue, $3 priority, $4 state, $5 version, $6 attempt, $7 lost, $8 begun, $9 to plan,
-- $10 created, $11 planned from, $12 cursor, $13 fire time or null, $14 due, $15 settled total, $16 rate,
-- $17 completed at or null, $18 failures; one for a version: $19 id, $20 version, $21 made at, $22 valid after or null,
-- $23 closes or null, $24 definition.
WITH made AS (
  INSERT INTO escapement.jobs (id, queue, priority, state, version, attempt, lost, begun, to_plan, created_at, planned_from,
                               cursor, fire_time, due_at, claim_at, fence, settled_total, rate, completed_fire, completed_at,
                               failures)
  SELECT u.id, u.queue, u.priority, u.state, u.version, u.attempt, u.lost, u.begun, u.to_plan, u.created, u.planned, u.cursor,
         u.fire, u.due, CASE WHEN u.state = 1 THEN CASE WHEN u.to_plan THEN now() ELSE u.due END END,
         (extract(epoch FROM clock_timestamp()) * 1000)::bigint, u.settled, u.rate,
         CASE WHEN u.completed IS NOT NULL THEN u.fire END, u.completed, u.failures
  FROM unnest($1::text[], $2::text[], $3::smallint[], $4::smallint[], $5::integer[], $6::integer[], $7::integer[],
              $8::boolean[], $9::boolean[], $10::timestamptz[], $11::timestamptz[], $12::timestamptz[], $13::timestamptz[],
              $14::timestamptz[], $15::bigint[], $16::double precision[], $17::timestamptz[], $18::integer[])
       AS u (id, queue, priority, state, version, attempt, lost, begun, to_plan, created, planned, cursor, fire, due, settled,
             rate, completed, failures)
  RETURNING key, id, state, rate
), counted AS (
  UPDATE escapement.load SET rate = load.rate + (SELECT COALESCE(sum(m.rate), 0) FROM made m WHERE m.state = 1),
                             jobs = load.jobs + (SELECT count(*) FROM made m WHERE m.state = 1)
)
INSERT INTO escapement.definitions (job, version, made_at, valid_after, closes_at, definition)
SELECT m.key, v.version, v.made, v.valid_after, v.closes, v.definition::jsonb
FROM unnest($19::text[], $20::integer[], $21::timestamptz[], $22::timestamptz[], $23::timestamptz[], $24::text[])
     AS v (id, version, made, valid_after, closes, definition)
JOIN made m ON m.id = v.id
