-- Unique keys, and all that a job can be told when it is added in SQL. Only adds: a program that knows an earlier version
-- alone keeps working beside newer ones. It defines no keys, and cannot read the definitions that have one.

-- Who took a unique key last. A job holds its key until then, and longer as long as it is there, is not finished and still
-- defines the key: that is looked up when somebody else asks for the key, so that a commit knows nothing of it.
CREATE TABLE escapement.unique_keys (
  key text COLLATE "C" PRIMARY KEY,
  job_id text COLLATE "C" NOT NULL,
  held_until timestamptz NOT NULL  -- what was created with it may be finished or removed meanwhile
);

CREATE FUNCTION escapement.holds_key(holder text, wanted text) RETURNS boolean LANGUAGE sql STABLE AS $$
  SELECT EXISTS (SELECT FROM escapement.jobs j JOIN escapement.definitions d ON d.job = j.key AND d.version = j.version
                 WHERE j.id = holder AND j.state <> 4 AND j.state IN (1, 2) AND d.definition ->> 'unique' = wanted)
$$;

-- Takes unique keys for jobs that the same transaction creates or changes. Of several that want one key, one gets it. Gives
-- the ids whose key another job holds.
-- Safe with many callers: the key's row is locked first, in the order of keys, until the transaction ends; the statements
-- after that see what the one before committed, the job that took the key included.
CREATE FUNCTION escapement.take_keys(keys text[], ids text[], created timestamptz[], spans_us bigint[])
RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
  want record;
  taken record;
  ours text COLLATE "C";  -- the last key that was taken here
BEGIN
  FOR want IN
    SELECT w.k, w.id, w.made, w.span FROM unnest(keys, ids, created, spans_us) AS w (k, id, made, span)
    ORDER BY w.k COLLATE "C", w.id COLLATE "C"
  LOOP
    INSERT INTO escapement.unique_keys AS u (key, job_id, held_until) VALUES (want.k, '', '-infinity')
    ON CONFLICT (key) DO UPDATE SET key = EXCLUDED.key
    RETURNING u.job_id, u.held_until INTO taken;
    IF taken.job_id <> want.id AND (want.k = ours OR taken.held_until > clock_timestamp()
                                    OR escapement.holds_key(taken.job_id, want.k)) THEN
      RETURN NEXT want.id;
    ELSE
      UPDATE escapement.unique_keys u SET job_id = want.id, held_until = want.made + want.span * interval '1 microsecond'
      WHERE u.key = want.k;
      ours := want.k;
    END IF;
  END LOOP;
END $$;

-- Drops keys after `past` that nobody holds, and looks at `most` of them. Gives where to go on, or null at the end.
CREATE FUNCTION escapement.drop_keys(most integer, past text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  stale record;
  looked integer := 0;
BEGIN
  FOR stale IN
    SELECT u.key, u.job_id FROM escapement.unique_keys u WHERE u.key > past AND u.held_until <= clock_timestamp()
    ORDER BY u.key LIMIT most
  LOOP
    looked := looked + 1;
    CONTINUE WHEN escapement.holds_key(stale.job_id, stale.key);
    PERFORM FROM escapement.unique_keys u WHERE u.key = stale.key FOR UPDATE SKIP LOCKED;
    CONTINUE WHEN NOT FOUND;
    -- Locked, it is looked at again: somebody may have taken it just before.
    DELETE FROM escapement.unique_keys u
    WHERE u.key = stale.key AND u.held_until <= clock_timestamp() AND NOT escapement.holds_key(u.job_id, u.key);
  END LOOP;
  RETURN CASE WHEN looked = most THEN stale.key END;
END $$;

CREATE FUNCTION escapement.is_name(input text) RETURNS boolean LANGUAGE sql IMMUTABLE
  RETURN octet_length(input) BETWEEN 1 AND 200 AND input !~ '[\x01-\x1f\x7f-\x9f]';

-- A whole number from `low` to `high`, written as the library does (3.0 is 3); null for anything else.
CREATE FUNCTION escapement.read_whole(input jsonb, low bigint, high bigint) RETURNS jsonb LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
  IF jsonb_typeof(input) <> 'number' THEN RETURN NULL; END IF;
  IF input::numeric NOT BETWEEN low AND high OR input::numeric <> trunc(input::numeric) THEN RETURN NULL; END IF;
  RETURN to_jsonb(trunc(input::numeric)::bigint);
END $$;

CREATE FUNCTION escapement.read_rate(input jsonb) RETURNS jsonb LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
  made jsonb;
BEGIN
  IF jsonb_typeof(input) <> 'object' OR input - '{starts,per_us}'::text[] <> '{}' THEN RETURN NULL; END IF;
  made := jsonb_build_object('starts', escapement.read_whole(input -> 'starts', 1, 10000),
                             'per_us', escapement.read_whole(input -> 'per_us', 100000, 31622400000000));
  RETURN CASE WHEN jsonb_strip_nulls(made) = made THEN made END;
END $$;

-- One option of a job as its definition keeps it. Raises SQLSTATE 22023, naming it, for what is none.
CREATE FUNCTION escapement.read_option(job text, option text, given jsonb) RETURNS jsonb LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
  longest constant bigint := 314496000000000;  -- 520 weeks
  -- The least and the most of each whole number; of times the most is `longest`.
  wholes constant jsonb := '{"priority": [0, 10], "late_limit": [1, 1000000000], "max_attempts": [1, 10000],
    "lost_limit": [1, 10000], "pause_after": [0, 10000], "late_threshold_us": [0], "retry_delay_us": [0],
    "retry_max_delay_us": [0], "timeout_us": [0], "deadline_us": [0], "jitter_us": [0], "flex_us": [0], "unique_for_us": [0]}';
  parts constant jsonb := '{"retry_factor": [1, 1000], "retry_jitter": [0, 1]}';
  names constant jsonb := '{"late": ["skip", "run_once", "run_all"], "delivery": ["at_least_once", "at_most_once"],
    "retry_on": ["any", "failed", "timed_out"], "overlap": ["wait", "replace", "allow"]}';
  kind constant text := jsonb_typeof(given);
  low constant text := wholes || parts -> option ->> 0;
  high constant text := COALESCE(wholes || parts -> option ->> 1, longest::text);
  made jsonb;  -- null: it is wrong
  expected text;
BEGIN
  IF wholes ? option THEN
    expected := format('a whole number from %s to %s', low, high);
    made := escapement.read_whole(given, low::bigint, high::bigint);
  ELSIF parts ? option THEN
    expected := format('a number from %s to %s', low, high);
    IF kind = 'number' THEN
      made := CASE WHEN given::numeric BETWEEN low::numeric AND high::numeric THEN given END;
    END IF;
  ELSIF names ? option THEN
    expected := format('one of %s', names -> option);
    made := CASE WHEN kind = 'string' AND names -> option @> given THEN given END;
  ELSIF option IN ('queue', 'label', 'unique') THEN
    expected := 'a text of 1 to 200 bytes without control characters';
    IF kind = 'string' AND (escapement.is_name(given #>> '{}') OR (option <> 'queue' AND given = '""')) THEN
      made := given;
    END IF;
  ELSIF option = 'retry_delays_us' THEN
    expected := format('a list of at most 100 whole numbers from 0 to %s', longest);
    IF kind = 'array' THEN
      SELECT CASE WHEN count(*) <= 100 AND count(*) = count(w.v) THEN COALESCE(jsonb_agg(w.v ORDER BY w.n), '[]') END INTO made
      FROM (SELECT a.n, escapement.read_whole(a.e, 0, longest) AS v
            FROM jsonb_array_elements(given) WITH ORDINALITY AS a (e, n)) w;
    END IF;
  ELSIF option IN ('on_success', 'on_failure', 'on_end') THEN
    expected := 'a list of at most 20 names of other jobs';
    IF kind = 'array' THEN
      SELECT CASE WHEN count(*) <= 20 AND COALESCE(bool_and(jsonb_typeof(a.e) = 'string' AND escapement.is_name(a.e #>> '{}')
                                                            AND a.e #>> '{}' <> job), true) THEN given END INTO made
      FROM jsonb_array_elements(given) AS a (e);
    END IF;
  ELSIF option = 'metadata' THEN
    expected := 'an object of at most 50 names, each with a text of at most 1000 bytes';
    IF kind = 'object' THEN
      SELECT CASE WHEN count(*) <= 50 AND COALESCE(bool_and(escapement.is_name(o.k) AND jsonb_typeof(o.v) = 'string'
                                                            AND octet_length(o.v #>> '{}') <= 1000), true) THEN given END INTO made
      FROM jsonb_each(given) AS o (k, v);
    END IF;
  ELSIF option = 'limits' THEN
    expected := 'an object of at most 4 keys, each with a whole number from 1 to 10000';
    IF kind = 'object' THEN
      SELECT CASE WHEN count(*) <= 4 AND count(*) = count(w.v) AND COALESCE(bool_and(escapement.is_name(w.k)), true)
                  THEN COALESCE(jsonb_object_agg(w.k, w.v), '{}') END INTO made
      FROM (SELECT o.k, escapement.read_whole(o.v, 1, 10000) AS v FROM jsonb_each(given) AS o (k, v)) w;
    END IF;
  ELSIF option = 'rates' THEN
    expected := 'an object of at most 4 keys, each with {"starts": 1 to 10000, "per_us": 100000 to 31622400000000}';
    IF kind = 'object' THEN
      SELECT CASE WHEN count(*) <= 4 AND count(*) = count(w.v) AND COALESCE(bool_and(escapement.is_name(w.k)), true)
                  THEN COALESCE(jsonb_object_agg(w.k, w.v), '{}') END INTO made
      FROM (SELECT o.k, escapement.read_rate(o.v) AS v FROM jsonb_each(given) AS o (k, v)) w;
    END IF;
  ELSE
    RAISE EXCEPTION 'escapement: job ''%'': ''%'' is no option', job, option USING ERRCODE = '22023';
  END IF;
  IF made IS NULL THEN
    RAISE EXCEPTION 'escapement: job ''%'': % must be %', job, option, expected USING ERRCODE = '22023';
  END IF;
  RETURN made;
END $$;

-- What no option is wrong in by itself. `spacing_us`: between two points of the schedule, or 0. Gives what is wrong, or null.
CREATE FUNCTION escapement.contradiction(job text, made jsonb, spacing_us bigint) RETURNS text LANGUAGE plpgsql STABLE AS $$
DECLARE
  later constant bigint := COALESCE((made ->> 'jitter_us')::bigint, 0) + COALESCE((made ->> 'flex_us')::bigint, 0);
  deadline constant bigint := COALESCE((made ->> 'deadline_us')::bigint, 0);
  overlap constant text := COALESCE(made ->> 'overlap', 'wait');
  followers constant jsonb := COALESCE(made -> 'on_success', '[]') || COALESCE(made -> 'on_failure', '[]')
                              || COALESCE(made -> 'on_end', '[]');
  missing text;
BEGIN
  IF spacing_us > 0 AND later > spacing_us THEN
    RETURN format('flex_us and jitter_us together must be at most %s, the time from one point to the next', spacing_us);
  ELSIF deadline > 0 AND later >= deadline THEN
    RETURN format('deadline_us must be longer than flex_us and jitter_us together, %s', later);
  ELSIF overlap <> 'wait' AND made ->> 'schedule' LIKE 'delay %' THEN
    RETURN format('overlap ''%s'' needs points that come while a run goes on: after a delay none does', overlap);
  ELSIF overlap = 'allow' AND made ? 'pause_after' THEN
    RETURN 'pause_after counts what a job''s occurrences came to: with overlap ''allow'' they are handed on';
  ELSIF made ? 'unique_for_us' AND NOT made ? 'unique' THEN
    RETURN 'unique_for_us is the time for which a key is held: set the key, unique, too';
  ELSIF followers = '[]' THEN
    RETURN NULL;
  END IF;
  SELECT f.id INTO missing FROM jsonb_array_elements_text(followers) AS f (id)
  WHERE NOT EXISTS (SELECT FROM escapement.jobs j WHERE j.id = f.id AND j.state <> 4) LIMIT 1;
  IF FOUND THEN
    RETURN format('it is to be followed by ''%s'', which is not there: create that first', missing);
  END IF;
  PERFORM FROM (
    WITH RECURSIVE after (id) AS (
      SELECT f.id COLLATE "C" FROM jsonb_array_elements_text(followers) AS f (id)
      UNION
      SELECT f.id COLLATE "C" FROM after a
      JOIN escapement.jobs j ON j.id = a.id AND j.state <> 4
      JOIN escapement.definitions d ON d.job = j.key AND d.version = j.version,
      LATERAL jsonb_array_elements_text(COALESCE(d.definition -> 'on_success', '[]') || COALESCE(d.definition -> 'on_failure', '[]')
                                        || COALESCE(d.definition -> 'on_end', '[]')) AS f (id)
    ) SELECT a.id FROM after a) w WHERE w.id = job;
  RETURN CASE WHEN FOUND THEN 'jobs may not run after each other in a circle: what follows it leads back to it' END;
END $$;

-- Adds a job, or changes the one of that id, inside the caller's own transaction: it is there when that commits, and
-- pods that listen are woken then. Gives 'created', 'updated', 'unchanged', or 'held': another job holds its unique key,
-- and nothing was added or changed. `schedule` is 'every ...', 'delay ...', 'at ...' or 'manual'. `options` has the members of a
-- definition: see read_option. Anything wrong raises an error (SQLSTATE 22023) and adds nothing.
CREATE OR REPLACE FUNCTION escapement.enqueue(id text, schedule text, task text, payload text DEFAULT '',
                                              options jsonb DEFAULT '{}')
RETURNS text LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
  -- What is usual is left out: equal definitions are equal rows.
  usual constant jsonb := '{"queue": "default", "label": "", "metadata": {}, "priority": 0, "late": "run_once",
    "late_limit": 1000000, "delivery": "at_least_once", "max_attempts": 1, "retry_delay_us": 1000000, "retry_factor": 2,
    "retry_max_delay_us": 3600000000, "retry_delays_us": [], "retry_jitter": 0, "retry_on": "any", "timeout_us": 0,
    "deadline_us": 0, "lost_limit": 5, "jitter_us": 0, "flex_us": 0, "overlap": "wait", "pause_after": 0, "on_success": [],
    "on_failure": [], "on_end": [], "limits": {}, "rates": {}, "unique": "", "unique_for_us": 0}';
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
  queue_key text;
  there record;
  new_key bigint;
BEGIN
  IF id IS NULL OR NOT escapement.is_name(id) THEN
    RAISE EXCEPTION 'escapement: id must be 1 to 200 bytes without control characters' USING ERRCODE = '22023';
  END IF;
  IF task IS NULL OR NOT escapement.is_name(task) THEN
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
  FOR member IN SELECT o.key, escapement.read_option(enqueue.id, o.key, o.value) AS value FROM jsonb_each(options) o LOOP
    IF member.value IS DISTINCT FROM usual -> member.key THEN
      made := made || jsonb_build_object(member.key, member.value);
    END IF;
  END LOOP;

  words := regexp_split_to_array(schedule, ' ');
  IF words[1] = 'at' AND array_length(words, 1) = 2 AND escapement.parse_instant(words[2]) IS NOT NULL THEN
    first_point := escapement.parse_instant(words[2]);
    points_after := first_point - interval '1 microsecond';
  ELSIF schedule = 'manual' THEN
    first_point := '9999-12-31T23:59:59.999999Z';
    points_after := at_once;
  ELSIF words[1] = 'every' OR (words[1] = 'delay' AND array_length(words, 1) = 2) THEN
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
    RAISE EXCEPTION 'escapement: job ''%'': schedule ''%'' is none: expected ''every 5m'' (with anchor=, phase=, end=), ''delay 5m'', ''at 2026-11-24T10:00:00Z'' or ''manual''',
                    id, left(COALESCE(schedule, 'NULL'), 100) USING ERRCODE = '22023';
  END IF;
  word := escapement.contradiction(id, made, COALESCE(span, 0));
  IF word IS NOT NULL THEN
    RAISE EXCEPTION 'escapement: job ''%'': %', id, word USING ERRCODE = '22023';
  END IF;
  -- As the stores keep the jobs that the same pods may take.
  queue_key := COALESCE(made ->> 'queue', 'default') || COALESCE(E'\x1f' || (made ->> 'label'), '');

  LOOP
    SELECT j.key, j.version, j.created_at, d.definition INTO there
    FROM escapement.jobs j JOIN escapement.definitions d ON d.job = j.key AND d.version = j.version
    WHERE j.id = enqueue.id AND j.state <> 4 FOR UPDATE OF j;
    IF there.definition = made THEN RETURN 'unchanged'; END IF;
    IF made ? 'unique' AND EXISTS (
      SELECT FROM escapement.take_keys(ARRAY[made ->> 'unique'], ARRAY[enqueue.id], ARRAY[COALESCE(there.created_at, at_once)],
                                       ARRAY[COALESCE((made ->> 'unique_for_us')::bigint, 0)])) THEN
      RETURN 'held';
    END IF;
    EXIT WHEN there.key IS NOT NULL;
    INSERT INTO escapement.jobs (id, queue, priority, state, version, attempt, lost, begun, to_plan, created_at, planned_from,
                                 cursor, fire_time, due_at, claim_at, fence, settled_total, rate)
    VALUES (enqueue.id, queue_key, COALESCE((made ->> 'priority')::smallint, 0),
            CASE WHEN first_point IS NULL THEN 3 ELSE 1 END, 1, 1, 0, false, false, at_once, at_once, points_after, first_point,
            COALESCE(first_point, points_after), first_point, (extract(epoch FROM at_once) * 1000)::bigint, 0, COALESCE(1e6 / span, 0))
    ON CONFLICT (id) WHERE state <> 4 DO NOTHING
    RETURNING key INTO new_key;
    CONTINUE WHEN new_key IS NULL;  -- somebody else created it meanwhile
    INSERT INTO escapement.definitions (job, version, made_at, valid_after, definition)
    VALUES (new_key, 1, at_once, points_after, made);
    PERFORM pg_notify('escapement_wake', 'jobs');
    -- The total load is not counted here: its one row would stay locked until the caller commits. The leader counts anew.
    RETURN 'created';
  END LOOP;
  UPDATE escapement.jobs j SET
    version = j.version + 1, to_plan = true, planned_from = at_once, queue = queue_key,
    priority = COALESCE((made ->> 'priority')::smallint, 0), rate = COALESCE(1e6 / span, 0),
    state = CASE WHEN j.state = 3 THEN 1 ELSE j.state END, fire_time = COALESCE(j.fire_time, j.cursor),
    claim_at = CASE WHEN j.owner IS NULL AND j.state IN (1, 3) THEN at_once END
  WHERE j.key = there.key;
  INSERT INTO escapement.definitions (job, version, made_at, definition)
  VALUES (there.key, there.version + 1, at_once, made);
  PERFORM pg_notify('escapement_wake', 'jobs');
  RETURN 'updated';
END $$;
