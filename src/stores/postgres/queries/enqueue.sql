-- Creates jobs, or changes those whose definition differs. Safe when many do the same: the unique index decides who
-- creates; a change raises the version, and whoever owns the job settles its run before the change takes effect.
-- An unsettled occurrence keeps its fire time until its owner plans anew. Rows are locked in the order of ids.
-- Unique keys are taken before anything is created or changed, in an order of their own.
-- Arrays: $1 id, $2 definition, $3 queue, $4 priority, $5 rate, $6 first cursor, $7 first fire time or null, $9 unique key
-- or null, $10 its window in microseconds; $8 now.
-- Gives id and 0 created, 1 updated, 2 unchanged, 3 another job holds its unique key. An id created by somebody else
-- meanwhile is not given: ask again.
WITH given AS MATERIALIZED (
  SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::smallint[], $5::double precision[], $6::timestamptz[],
                       $7::timestamptz[], $9::text[], $10::bigint[])
                AS u (id, definition, queue, priority, rate, cursor, fire, unique_key, unique_for)
), there AS MATERIALIZED (
  SELECT j.key, j.id, j.version, j.created_at, d.definition <> g.definition::jsonb AS differs
  FROM given g
  JOIN escapement.jobs j ON j.id = g.id AND j.state <> 4
  JOIN escapement.definitions d ON d.job = j.key AND d.version = j.version
  ORDER BY j.id
  FOR UPDATE OF j
), held AS MATERIALIZED (
  SELECT f.id
  FROM (SELECT array_agg(g.unique_key) AS keys, array_agg(g.id) AS ids,
               array_agg(COALESCE(t.created_at, $8)) AS created, array_agg(g.unique_for) AS spans
        FROM given g LEFT JOIN there t ON t.id = g.id
        WHERE g.unique_key IS NOT NULL AND t.differs IS NOT FALSE HAVING count(*) > 0) w,
       LATERAL escapement.take_keys(w.keys, w.ids, w.created, w.spans) AS f (id)
), created AS (
  INSERT INTO escapement.jobs (id, queue, priority, state, version, attempt, lost, begun, to_plan, created_at, planned_from,
                               cursor, fire_time, due_at, claim_at, fence, settled_total, rate)
  SELECT g.id, g.queue, g.priority, CASE WHEN g.fire IS NULL THEN 3 ELSE 1 END, 1, 1, 0, false, false, $8, $8, g.cursor, g.fire,
         COALESCE(g.fire, g.cursor), g.fire, (extract(epoch FROM $8::timestamptz) * 1000)::bigint, 0, g.rate
  FROM given g WHERE NOT EXISTS (SELECT FROM there t WHERE t.id = g.id)
                 AND NOT EXISTS (SELECT FROM held h WHERE h.id = g.id)
  ORDER BY g.id
  ON CONFLICT (id) WHERE state <> 4 DO NOTHING
  RETURNING key, id, rate
), first_definitions AS (
  INSERT INTO escapement.definitions (job, version, made_at, valid_after, definition)
  SELECT c.key, 1, $8, g.cursor, g.definition::jsonb FROM created c JOIN given g ON g.id = c.id
), changed AS (
  UPDATE escapement.jobs j SET
    version = j.version + 1, to_plan = true, planned_from = $8, queue = g.queue, priority = g.priority, rate = g.rate,
    state = CASE WHEN j.state = 3 THEN 1 ELSE j.state END,
    fire_time = COALESCE(j.fire_time, j.cursor),
    claim_at = CASE WHEN j.owner IS NULL AND j.state IN (1, 3) THEN now() END
  FROM there t JOIN given g ON g.id = t.id
  WHERE j.key = t.key AND t.differs AND NOT EXISTS (SELECT FROM held h WHERE h.id = t.id)
  RETURNING j.key, j.id, j.version
), next_definitions AS (
  INSERT INTO escapement.definitions (job, version, made_at, definition)
  SELECT c.key, c.version, $8, g.definition::jsonb FROM changed c JOIN given g ON g.id = c.id
), counted AS (
  UPDATE escapement.load SET rate = rate + (SELECT COALESCE(sum(c.rate), 0) FROM created c),
                             jobs = jobs + (SELECT count(*) FROM created)
  WHERE EXISTS (SELECT FROM created)
)
SELECT id, 0 FROM created UNION ALL SELECT id, 1 FROM changed UNION ALL SELECT id, 2 FROM there WHERE NOT differs
UNION ALL SELECT id, 3 FROM held
