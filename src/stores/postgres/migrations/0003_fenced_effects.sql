-- What a run may do in its own transaction: check that it still is the one that counts, and complete its occurrence.
-- Only adds: a program that knows version 1 or 2 alone keeps working beside newer ones.

-- The occurrence that its task completed, which is the present one as long as both fire times are equal: whatever moves
-- the row on voids the mark without knowing it.
ALTER TABLE escapement.jobs
  ADD COLUMN completed_fire timestamptz,
  ADD COLUMN completed_at timestamptz;

-- What a run's token says: 'KEY.FENCE.MICROSECONDS.ATTEMPT'. SQLSTATE 22023 for anything else.
CREATE FUNCTION escapement.read_run(run text, OUT key bigint, OUT fence bigint, OUT fire_time timestamptz,
                                    OUT attempt integer)
LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
  words constant text[] := string_to_array(run, '.');
BEGIN
  IF run IS NULL OR run !~ '^[0-9]{1,18}\.[0-9]{1,18}\.[0-9]{1,18}\.[0-9]{1,9}$' THEN
    RAISE EXCEPTION 'escapement: ''%'' is no run: expected the token that the task was given (RunContext::Token, ESCAPEMENT_RUN)',
                    left(COALESCE(run, 'NULL'), 100) USING ERRCODE = '22023';
  END IF;
  key := words[1];
  fence := words[2];
  fire_time := 'epoch'::timestamptz + words[3]::bigint * interval '1 microsecond';
  attempt := words[4];
END $$;

-- Holds the job's row for the rest of the caller's transaction if the run is the one that the job's next commit is about:
-- the comparison is commit's own. Nobody can be given the job, and no verdict can be passed on the run, until the
-- transaction ends: claims and reclaims skip the row, commits wait. Gives the job's key; raises when the run is stale.
-- A kept job runs on before its commit (decision 3), so the row may still show what the pod ran before: it is waited for,
-- without a lock. Deadlocks need two jobs' rows in one transaction, and are found by PostgreSQL.
CREATE FUNCTION escapement.hold_run(run text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
  longest constant interval := '5 seconds';
  give_up constant timestamptz := clock_timestamp() + interval '10 seconds';
  pause double precision := 0.001;
  mine record;
  job record;
  idle interval;
  reason text;
BEGIN
  SELECT * INTO mine FROM escapement.read_run(run);
  LOOP
    SELECT j.owner, j.fence, j.fire_time, j.attempt INTO job FROM escapement.jobs j WHERE j.key = mine.key;
    EXIT WHEN NOT FOUND OR job.fence <> mine.fence OR job.owner IS NULL
           OR (job.fire_time, job.attempt) >= (mine.fire_time, mine.attempt);
    IF current_setting('transaction_isolation') <> 'read committed' THEN
      RAISE EXCEPTION 'escapement: what the pod ran before this run is not settled as this transaction sees it'
        USING ERRCODE = 'serialization_failure', HINT = 'Try the transaction again.';
    ELSIF clock_timestamp() > give_up THEN
      RAISE EXCEPTION 'escapement: the pod has not settled what it ran before this run for 10 seconds'
        USING ERRCODE = 'lock_not_available', HINT = 'Try the transaction again.';
    END IF;
    PERFORM pg_sleep(pause);
    pause := LEAST(2 * pause, 0.05);
  END LOOP;

  SELECT j.owner, j.fence, j.fire_time, j.attempt, j.completed_fire = j.fire_time AND j.fire_time > j.cursor AS completed
  INTO job FROM escapement.jobs j WHERE j.key = mine.key FOR NO KEY UPDATE;
  reason := CASE
    WHEN NOT FOUND THEN 'its job is gone'
    WHEN job.fence <> mine.fence OR job.owner IS NULL THEN 'its pod lost the job'
    WHEN job.fire_time <> mine.fire_time OR job.attempt <> mine.attempt THEN 'it was given up or settled'
    WHEN NOT EXISTS (SELECT FROM escapement.sessions s WHERE s.id = job.owner AND s.ended_at IS NULL)
      THEN 'its pod was declared dead' END;
  IF reason IS NOT NULL THEN
    RAISE EXCEPTION 'escapement: this run is stale: %', reason USING ERRCODE = 'ZE001',
      DETAIL = format('job key %s, fire time %s, attempt %s, fence %s', mine.key, mine.fire_time, mine.attempt,
                      mine.fence);
  ELSIF job.completed THEN
    RAISE EXCEPTION 'escapement: this occurrence is completed' USING ERRCODE = 'ZE002',
      DETAIL = format('job key %s, fire time %s', mine.key, mine.fire_time);
  END IF;

  -- A task that stands still between this and its COMMIT must not hold its job for ever.
  idle := current_setting('idle_in_transaction_session_timeout');
  IF idle = '0' OR idle > longest THEN
    PERFORM set_config('idle_in_transaction_session_timeout', '5s', true);
  END IF;
  RETURN mine.key;
END $$;

-- For a task's own transaction: raises SQLSTATE ZE001 if the run is stale (its pod was declared dead or lost the job, or
-- the run was given up), ZE002 if it was completed. Else nobody else is given the job before the transaction ends, so
-- that no effect of a stale run is ever committed after the next owner began. Call it last, before COMMIT.
CREATE FUNCTION escapement.check_fence(run text) RETURNS void LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM escapement.hold_run(run);
END $$;

-- As check_fence; and when the transaction commits, the occurrence has succeeded: if its pod cannot say so any more, the
-- next owner does, without running it. What the transaction wrote is there exactly once. Call it last, before COMMIT.
CREATE FUNCTION escapement.complete(run text) RETURNS void LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  held constant bigint := escapement.hold_run(run);
BEGIN
  UPDATE escapement.jobs SET completed_fire = fire_time, completed_at = clock_timestamp() WHERE key = held;
END $$;
