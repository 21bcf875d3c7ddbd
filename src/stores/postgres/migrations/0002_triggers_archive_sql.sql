-- Triggered runs, cancellation, output, leases, jobs added in SQL. Only adds: a program that knows version 1 alone keeps
-- working beside newer ones.

-- Each migration says which programs can work on the schema it leaves behind.
ALTER TABLE escapement.migrations ADD COLUMN compatible_from integer;  -- null: only those that know this version

-- A triggered run is a child row: its id is the job's, a control character (which no id may hold) and a number. Programs
-- that know version 1 alone must not meet it: a control character leads its queue too, and its definition lies apart.
ALTER TABLE escapement.jobs
  ADD COLUMN parent bigint,
  -- What a user asked to cancel; void as soon as one of them differs from the row's own.
  ADD COLUMN cancel_fence bigint,
  ADD COLUMN cancel_fire timestamptz,
  ADD COLUMN cancel_attempt integer;
CREATE SEQUENCE escapement.triggers;
CREATE TABLE escapement.triggered (
  job bigint PRIMARY KEY,
  definition jsonb NOT NULL
);
CREATE INDEX jobs_parent ON escapement.jobs (parent) WHERE parent IS NOT NULL;
CREATE INDEX jobs_cancel ON escapement.jobs (owner) WHERE cancel_fence IS NOT NULL;
-- For claims behind a backlog. Like jobs_due, it does not know rows that are owned: sticky commits leave it alone.
CREATE INDEX jobs_due_by_priority ON escapement.jobs (priority DESC, claim_at) WHERE claim_at IS NOT NULL;

CREATE FUNCTION escapement.job_id(stored text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE
  RETURN split_part(stored, E'\x01', 1);

ALTER TABLE escapement.runs ADD COLUMN output text NOT NULL DEFAULT '';

CREATE OR REPLACE VIEW escapement.run_history AS
  SELECT escapement.job_id(j.id) AS job_id, r.fire_time, r.last_fire, r.attempt, r.settles,
         (ARRAY['succeeded', 'failed', 'timed out', 'cancelled', 'lost', 'skipped: misfired', 'skipped: overlapped',
                'skipped: paused'])[r.verdict] AS verdict,
         r.started_at, r.finished_at, r.settled_at, s.pod, r.error, r.output, j.parent IS NOT NULL AS triggered
  FROM escapement.runs r
  LEFT JOIN escapement.jobs j ON j.key = r.job
  LEFT JOIN escapement.sessions s ON s.id = r.session;

-- Makes the partition of one day of history, if it is not there.
CREATE FUNCTION escapement.make_history_day(day date) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  name constant text := 'runs_' || to_char(day, 'YYYYMMDD');
BEGIN
  PERFORM pg_advisory_xact_lock(7300105, 2);
  IF to_regclass('escapement.' || name) IS NULL THEN
    EXECUTE format('CREATE TABLE escapement.%I PARTITION OF escapement.runs FOR VALUES FROM (%L) TO (%L)', name,
                   day::text || ' 00:00:00+00', (day + 1)::text || ' 00:00:00+00');
  END IF;
END $$;

-- Leases of the lock service, for clusters that have no other. Logged, so that fences never start again.
CREATE TABLE escapement.leases (
  name text COLLATE "C" PRIMARY KEY,
  token text,                       -- null: given back
  fence bigint NOT NULL,
  held_until timestamptz NOT NULL
) WITH (fillfactor = 50);

-- Microseconds of '1h30m', '250ms', '1.5s'; null for anything else.
CREATE FUNCTION escapement.parse_duration(input text) RETURNS bigint LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
  part text[];
  micros numeric := 0;
BEGIN
  IF input !~ '^([0-9]{1,18}(\.[0-9]{1,12})?(us|ms|s|m|h|d|w))+$' THEN RETURN NULL; END IF;
  FOR part IN SELECT regexp_matches(input, '([0-9]+(?:\.[0-9]+)?)(us|ms|s|m|h|d|w)', 'g') LOOP
    micros := micros + part[1]::numeric * CASE part[2] WHEN 'us' THEN 1 WHEN 'ms' THEN 1000 WHEN 's' THEN 1000000
      WHEN 'm' THEN 60000000 WHEN 'h' THEN 3600000000 WHEN 'd' THEN 86400000000 ELSE 604800000000 END;
  END LOOP;
  IF micros <> trunc(micros) OR micros > 1000000000000000 THEN RETURN NULL; END IF;
  RETURN micros::bigint;
END $$;

-- An instant as RFC 3339 with a zone, in the years 1970 to 9999; null for anything else.
CREATE FUNCTION escapement.parse_instant(input text) RETURNS timestamptz LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
  IF input !~ '^[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt]([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]{1,6})?([Zz]|[+-][0-9]{2}:[0-9]{2})$' THEN
    RETURN NULL;
  END IF;
  IF input::timestamptz < '1970-01-01T00:00:00Z' OR input::timestamptz >= '10000-01-01T00:00:00Z' THEN RETURN NULL; END IF;
  RETURN input::timestamptz;
EXCEPTION WHEN datetime_field_overflow OR invalid_datetime_format THEN RETURN NULL;
END $$;

-- Adds a job, or changes the one of that id, inside the caller's own transaction: it is there when that commits, and
-- pods that listen are woken then. Gives 'created', 'updated' or 'unchanged'. `schedule` is 'every ...' or 'at ...'.
-- `options`: queue, priority, late, late_limit, late_threshold_us, delivery, max_attempts, retry_delay_us, retry_factor,
-- retry_max_delay_us, timeout_us, lost_limit. Anything wrong raises an error (SQLSTATE 22023) and adds nothing.
CREATE FUNCTION escapement.enqueue(id text, schedule text, task text, payload text DEFAULT '', options jsonb DEFAULT '{}')
RETURNS text LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
  usual constant jsonb := '{"queue": "default", "priority": 0, "late": "run_once", "late_limit": 1000000,
    "late_threshold_us": null, "delivery": "at_least_once", "max_attempts": 1, "retry_delay_us": 1000000, "retry_factor": 2,
    "retry_max_delay_us": 3600000000, "timeout_us": 0, "lost_limit": 5}';
  -- The least and the most of each number.
  bounds constant jsonb := '{"priority": [0, 10], "late_limit": [1, 1000000000], "late_threshold_us": [0, 314496000000000],
    "max_attempts": [1, 10000], "retry_delay_us": [0, 314496000000000], "retry_factor": [1, 1000],
    "retry_max_delay_us": [0, 314496000000000], "timeout_us": [0, 314496000000000], "lost_limit": [1, 10000]}';
  names constant jsonb := '{"late": ["skip", "run_once", "run_all"], "delivery": ["at_least_once", "at_most_once"]}';
  at_once constant timestamptz := clock_timestamp();
  member record;
  words text[];
  word text;
  span bigint;
  phase bigint;  -- null: not given
  anchor timestamptz;
  finish timestamptz := 'infinity';
  first_point timestamptz;
  points_after timestamptz;
  made jsonb;
  there record;
  new_key bigint;
BEGIN
  IF id IS NULL OR octet_length(id) NOT BETWEEN 1 AND 200 OR id ~ '[\x01-\x1f\x7f-\x9f]' THEN
    RAISE EXCEPTION 'escapement: id must be 1 to 200 bytes without control characters' USING ERRCODE = '22023';
  END IF;
  IF task IS NULL OR octet_length(task) NOT BETWEEN 1 AND 200 OR task ~ '[\x01-\x1f\x7f-\x9f]' THEN
    RAISE EXCEPTION 'escapement: job ''%'': task must be 1 to 200 bytes without control characters', id USING ERRCODE = '22023';
  END IF;
  IF payload IS NULL OR octet_length(payload) > 1048576 THEN
    RAISE EXCEPTION 'escapement: job ''%'': payload must be at most 1 MiB', id USING ERRCODE = '22023';
  END IF;
  IF options IS NULL OR jsonb_typeof(options) <> 'object' THEN
    RAISE EXCEPTION 'escapement: job ''%'': options must be a JSON object', id USING ERRCODE = '22023';
  END IF;
  made := jsonb_build_object('schedule', schedule, 'task', task);
  IF payload <> '' THEN made := made || jsonb_build_object('payload', payload); END IF;
  FOR member IN SELECT o.key, o.value FROM jsonb_each(options) o LOOP
    IF NOT usual ? member.key THEN
      RAISE EXCEPTION 'escapement: job ''%'': ''%'' is no option', id, member.key USING ERRCODE = '22023';
    ELSIF bounds ? member.key THEN
      IF jsonb_typeof(member.value) <> 'number' OR member.value::numeric < (bounds -> member.key ->> 0)::numeric
         OR member.value::numeric > (bounds -> member.key ->> 1)::numeric
         OR (member.key <> 'retry_factor' AND member.value::numeric <> trunc(member.value::numeric)) THEN
        RAISE EXCEPTION 'escapement: job ''%'': % must be a number from % to %', id, member.key, bounds -> member.key ->> 0,
                        bounds -> member.key ->> 1 USING ERRCODE = '22023';
      END IF;
    ELSIF names ? member.key THEN
      IF NOT names -> member.key @> member.value OR jsonb_typeof(member.value) <> 'string' THEN
        RAISE EXCEPTION 'escapement: job ''%'': % must be one of %', id, member.key, names -> member.key USING ERRCODE = '22023';
      END IF;
    ELSIF jsonb_typeof(member.value) <> 'string' OR octet_length(member.value #>> '{}') NOT BETWEEN 1 AND 200
          OR member.value #>> '{}' ~ '[\x01-\x1f\x7f-\x9f]' THEN
      RAISE EXCEPTION 'escapement: job ''%'': % must be a text of 1 to 200 bytes', id, member.key USING ERRCODE = '22023';
    END IF;
    -- 3.0 is 3, written as the library does.
    IF bounds ? member.key AND member.key <> 'retry_factor' THEN member.value := to_jsonb(trunc(member.value::numeric)::bigint); END IF;
    -- What is usual is left out: equal definitions are equal rows.
    IF member.value <> usual -> member.key THEN
      made := made || jsonb_build_object(member.key, member.value);
    END IF;
  END LOOP;

  words := regexp_split_to_array(schedule, ' ');
  IF words[1] = 'at' AND array_length(words, 1) = 2 AND escapement.parse_instant(words[2]) IS NOT NULL THEN
    first_point := escapement.parse_instant(words[2]);
    points_after := first_point - interval '1 microsecond';
  ELSIF words[1] = 'every' THEN
    span := escapement.parse_duration(words[2]);
    FOREACH word IN ARRAY words[3:] LOOP
      IF word LIKE 'anchor=%' AND anchor IS NULL THEN
        anchor := escapement.parse_instant(substr(word, 8));
        IF anchor IS NULL THEN span := NULL; END IF;
      ELSIF word LIKE 'phase=%' AND phase IS NULL THEN phase := COALESCE(escapement.parse_duration(substr(word, 7)), -1);
      ELSIF word LIKE 'end=%' AND finish = 'infinity' THEN finish := escapement.parse_instant(substr(word, 5));
      ELSE span := NULL;
      END IF;
    END LOOP;
    phase := COALESCE(phase, 0);
    IF span IS NULL OR phase < 0 OR finish IS NULL OR span NOT BETWEEN 1000 AND 314496000000000 OR phase >= span
       OR finish <= anchor THEN
      span := NULL;
    ELSE
      points_after := CASE WHEN anchor IS NULL THEN at_once ELSE at_once - interval '1 microsecond' END;
      first_point := COALESCE(anchor, at_once) + phase * interval '1 microsecond';
      IF first_point <= points_after THEN
        first_point := first_point + (floor(extract(epoch FROM points_after - first_point) * 1000000 / span) + 1)::bigint * span
                         * interval '1 microsecond';
      END IF;
      IF first_point >= finish THEN first_point := NULL; END IF;
    END IF;
  END IF;
  IF points_after IS NULL THEN
    RAISE EXCEPTION 'escapement: job ''%'': schedule ''%'' is none: expected ''every 5m'' (with anchor=, phase=, end=) or ''at 2026-11-24T10:00:00Z''',
                    id, left(COALESCE(schedule, 'NULL'), 100) USING ERRCODE = '22023';
  END IF;

  PERFORM pg_notify('escapement_wake', 'jobs');
  INSERT INTO escapement.jobs (id, queue, priority, state, version, attempt, lost, begun, to_plan, created_at, planned_from,
                               cursor, fire_time, due_at, claim_at, fence, settled_total, rate)
  VALUES (enqueue.id, COALESCE(made ->> 'queue', 'default'), COALESCE((made ->> 'priority')::smallint, 0),
          CASE WHEN first_point IS NULL THEN 3 ELSE 1 END, 1, 1, 0, false, false, at_once, at_once, points_after, first_point,
          COALESCE(first_point, points_after), first_point, (extract(epoch FROM at_once) * 1000)::bigint, 0, COALESCE(1e6 / span, 0))
  ON CONFLICT (id) WHERE state <> 4 DO NOTHING
  RETURNING key INTO new_key;
  IF new_key IS NOT NULL THEN
    INSERT INTO escapement.definitions (job, version, made_at, valid_after, definition)
    VALUES (new_key, 1, at_once, points_after, made);
    -- The total load is not counted here: its one row would stay locked until the caller commits. The leader counts anew.
    RETURN 'created';
  END IF;
  SELECT j.key, j.version, d.definition INTO there
  FROM escapement.jobs j JOIN escapement.definitions d ON d.job = j.key AND d.version = j.version
  WHERE j.id = enqueue.id AND j.state <> 4 FOR UPDATE OF j;
  IF there.definition = made THEN RETURN 'unchanged'; END IF;
  UPDATE escapement.jobs j SET
    version = j.version + 1, to_plan = true, planned_from = at_once, queue = COALESCE(made ->> 'queue', 'default'),
    priority = COALESCE((made ->> 'priority')::smallint, 0), rate = COALESCE(1e6 / span, 0),
    state = CASE WHEN j.state = 3 THEN 1 ELSE j.state END, fire_time = COALESCE(j.fire_time, j.cursor),
    claim_at = CASE WHEN j.owner IS NULL AND j.state IN (1, 3) THEN at_once END
  WHERE j.key = there.key;
  INSERT INTO escapement.definitions (job, version, made_at, definition)
  VALUES (there.key, there.version + 1, at_once, made);
  RETURN 'updated';
END $$;
