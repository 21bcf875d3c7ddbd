-- Settles occurrences: one update of the job's row and one row of history each.
-- Safe when many run it: a row changes only where owner, fence, fire time and attempt equal the completion's, and each
-- change makes them unequal, so that a resend or a stale pod changes nothing. History is written from the rows so
-- changed, in the same statement. The session's row is locked against its end for the length of the transaction.
-- Keys come sorted and each is looked up by itself, so batches lock rows in one order. COALESCE keeps the planner from the
-- index on owner: that would walk over all that the session owns.
-- $1 session; arrays: $2 key, $3 fence, $4 fire time, $5 attempt, $6 version, $7 next cursor, $8 next fire time or null,
-- $9 next due, $10 next attempt, $11 keep, $12 verdict or null (plan only), $13 settles, $14 last fire, $15 started,
-- $16 finished, $17 error, $18 output, $19 failures in a row at which the job is paused with this one, or null,
-- $20 payload of what failed for good, else null, $21 names of the jobs that run after it as JSON, or null. No row: the session is ended. Null ordinal: nothing matched.
WITH live AS MATERIALIZED (
  SELECT id FROM escapement.sessions WHERE id = $1 AND ended_at IS NULL FOR KEY SHARE
), done AS (
  UPDATE escapement.jobs j SET
    cursor = u.next_cursor,
    -- The occurrence after one that was settled under an older version is the new version's to choose; until then the
    -- row shows the settled one.
    fire_time = CASE WHEN j.version <> u.version AND u.settles > 0 THEN u.fire ELSE u.next_fire END,
    due_at = u.next_due,
    attempt = u.next_attempt,
    lost = CASE WHEN u.next_fire = u.fire AND u.settles = 0 THEN j.lost ELSE 0 END,
    begun = false,
    to_plan = j.version <> u.version,
    -- A failure counts on the row: the pod's own count may be of before a resumption.
    failures = CASE WHEN u.settles > 0 AND u.verdict IN (2, 3, 5) THEN j.failures + 1
                    WHEN u.verdict = 1 THEN 0 ELSE j.failures END,
    state = CASE WHEN j.state IN (1, 2) AND j.version = u.version AND u.next_fire IS NULL
                 -- A triggered run is over: its row waits for maintenance.
                 THEN CASE WHEN j.parent IS NULL THEN 3 ELSE 4 END
                 WHEN j.state = 1 AND j.version = u.version AND j.failures + 1 >= u.pause_at THEN 2
                 ELSE j.state END,
    owner = CASE WHEN u.keep AND j.state = 1 AND j.version = u.version AND u.next_fire IS NOT NULL
                      AND (u.pause_at IS NULL OR j.failures + 1 < u.pause_at) THEN j.owner END,
    claim_at = CASE
      WHEN j.state <> 1 THEN NULL
      WHEN j.version <> u.version THEN now()
      WHEN u.keep OR u.next_fire IS NULL OR j.failures + 1 >= u.pause_at THEN NULL
      ELSE u.next_due END,
    settled_total = j.settled_total + u.settles
  FROM live, unnest($2::bigint[], $3::bigint[], $4::timestamptz[], $5::integer[], $6::integer[], $7::timestamptz[],
              $8::timestamptz[], $9::timestamptz[], $10::integer[], $11::boolean[], $12::smallint[], $13::bigint[],
              $14::timestamptz[], $15::timestamptz[], $16::timestamptz[], $17::text[], $18::text[], $19::integer[], $20::text[], $21::text[])
              WITH ORDINALITY
       AS u (key, fence, fire, attempt, version, next_cursor, next_fire, next_due, next_attempt, keep, verdict, settles,
             last_fire, started, finished, error, output, pause_at, payload, followers, ordinal)
  WHERE j.key = u.key AND COALESCE(j.owner, 0) = $1 AND j.fence = u.fence AND j.fire_time = u.fire AND j.attempt = u.attempt
    -- A plan made, a stretch skipped or a point handed on under an older definition is refused: these points may not
    -- exist any more.
    AND (j.version = u.version OR u.verdict < 6)
    -- A plan that keeps the occurrence leaves the row as it compares: once more, it would wipe the mark of a start.
    AND (u.verdict IS NOT NULL OR j.to_plan)
    -- What its task completed has succeeded, whatever became of the run: the next owner says so.
    AND (u.verdict IS NULL OR u.verdict = 1 OR j.completed_fire IS DISTINCT FROM j.fire_time OR j.fire_time <= j.cursor)
  RETURNING u.ordinal, j.key, j.owner IS NOT NULL AS kept, u.fire, u.last_fire, u.started, u.finished, u.fence, u.settles,
            u.attempt, u.version, u.verdict, u.error, u.output, u.payload, u.followers, j.id, j.parent, u.next_fire, u.next_cursor, j.planned_from,
            -- A plan that keeps the occurrence keeps what was started: another attempt, or one that died.
            u.verdict IS NULL AND u.next_fire = u.fire AND u.fire > u.next_cursor AND (u.attempt > 1 OR j.lost > 0) AS keeps
), planned AS (
  -- The first plan under a new version (a plan alone, or the settlement of a run begun before it: lost, or completed by
  -- its task, which has no start) divides the points.
  UPDATE escapement.definitions d SET
    valid_after = CASE WHEN done.keeps THEN done.fire
                       ELSE GREATEST(done.next_cursor, done.planned_from) END,
    closes_at = CASE WHEN done.keeps THEN done.fire ELSE done.next_cursor END
  FROM done
  WHERE (done.verdict IS NULL OR done.verdict = 5 OR (done.verdict = 1 AND done.started IS NULL)) AND d.job = done.key AND d.version = done.version AND d.valid_after IS NULL
), history AS (
  INSERT INTO escapement.runs (settled_at, job, fire_time, last_fire, started_at, finished_at, fence, session, settles,
                               attempt, version, verdict, error, output)
  SELECT now(), key, fire, last_fire, started, finished, fence, $1, settles, attempt, version, verdict, error, output
  FROM done WHERE verdict IS NOT NULL
), dead AS (
  INSERT INTO escapement.dead_letters (job_id, payload, fire_time, attempts, verdict, error, triggered, settled_at)
  SELECT escapement.job_id(id), COALESCE(payload, ''), fire, attempt, verdict, error, parent IS NOT NULL, now()
  FROM done WHERE settles > 0 AND verdict IN (2, 3, 5)
), follower AS MATERIALIZED (
  -- The jobs that run after these, as trigger.sql makes them. LIMIT keeps the planner from joining all jobs.
  SELECT t.id || E'\x01' || nextval('escapement.triggers') AS id, t.key AS parent, E'\x01' || t.queue AS queue, t.priority,
         w.fire_time,
         (d.definition - 'jitter_us' - 'flex_us' - 'pause_after' - 'overlap' - 'unique' - 'unique_for_us')
         || jsonb_build_object('schedule',
           'at ' || to_char(w.fire_time AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')) AS definition
  FROM done CROSS JOIN LATERAL jsonb_array_elements_text(done.followers::jsonb) AS f (name)
    -- What is handed on keeps its fire time.
    CROSS JOIN LATERAL (SELECT CASE WHEN done.verdict = 9 THEN done.fire ELSE now() END AS fire_time) AS w
    CROSS JOIN LATERAL (SELECT * FROM escapement.jobs WHERE id = f.name AND state <> 4 LIMIT 1) AS t
    CROSS JOIN LATERAL (SELECT definition FROM escapement.definitions WHERE job = t.key AND version = t.version LIMIT 1) AS d
  WHERE done.followers IS NOT NULL AND (done.verdict <> 9 OR t.key = done.key)
), child AS (
  INSERT INTO escapement.jobs (id, queue, priority, state, version, attempt, lost, begun, to_plan, created_at, planned_from,
                               cursor, fire_time, due_at, claim_at, fence, settled_total, rate, parent)
  SELECT id, queue, priority, 1, 1, 1, 0, false, false, now(), now(), fire_time - interval '1 microsecond', fire_time,
         fire_time, fire_time, (extract(epoch FROM now()) * 1000)::bigint, 0, 0, parent
  FROM follower
  RETURNING key, id
), triggered AS (
  INSERT INTO escapement.triggered (job, definition)
  SELECT child.key, follower.definition FROM child JOIN follower USING (id)
)
SELECT clock_timestamp(), done.ordinal, done.kept FROM live LEFT JOIN done ON true
