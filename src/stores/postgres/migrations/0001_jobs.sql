-- Jobs, their definitions, sessions, history.

CREATE TABLE escapement.sessions (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  pod text NOT NULL,
  ttl_us bigint NOT NULL,
  beat bigint NOT NULL DEFAULT 1,
  rate double precision NOT NULL DEFAULT 0,
  owned bigint NOT NULL DEFAULT 0,
  opened_at timestamptz NOT NULL DEFAULT clock_timestamp(),
  ended_at timestamptz
) WITH (fillfactor = 50);
CREATE INDEX sessions_live ON escapement.sessions (id) WHERE ended_at IS NULL;

-- The hot table: one update for each execution. An update stays within its page (HOT) as long as no indexed column
-- changes: claim_at and owner keep their values across the commits of a job that its pod keeps.
CREATE TABLE escapement.jobs (
  key bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  id text COLLATE "C" NOT NULL,
  queue text COLLATE "C" NOT NULL,
  priority smallint NOT NULL,
  state smallint NOT NULL,          -- 1 active, 2 paused, 3 finished, 4 removed
  version integer NOT NULL,
  attempt integer NOT NULL,
  lost integer NOT NULL,            -- pods that died with the present occurrence
  begun boolean NOT NULL,           -- at_most_once: started, not to be started again
  to_plan boolean NOT NULL,         -- the definition changed: the next owner plans anew
  created_at timestamptz NOT NULL,
  planned_from timestamptz NOT NULL,
  cursor timestamptz NOT NULL,      -- the last settled instant
  fire_time timestamptz,            -- of the occurrence to settle; null: finished
  due_at timestamptz NOT NULL,      -- the time to look: the fire time or the next attempt's
  claim_at timestamptz,             -- due_at while active and unowned, else null
  owner bigint,                     -- session
  fence bigint NOT NULL,
  settled_total bigint NOT NULL,
  rate double precision NOT NULL    -- points a second
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.1, autovacuum_analyze_scale_factor = 0.5);
CREATE UNIQUE INDEX jobs_id ON escapement.jobs (id) WHERE state <> 4;
CREATE INDEX jobs_due ON escapement.jobs (claim_at) WHERE claim_at IS NOT NULL;
CREATE INDEX jobs_owner ON escapement.jobs (owner) WHERE owner IS NOT NULL;
CREATE INDEX jobs_changed ON escapement.jobs (owner) WHERE owner IS NOT NULL AND (to_plan OR state <> 1);

-- Every version of a job's definition, and which points are its own: those after valid_after, up to the instant with
-- which the next version that was ever planned closes it. So the conservation law can be computed over changes.
CREATE TABLE escapement.definitions (
  job bigint NOT NULL,
  version integer NOT NULL,
  made_at timestamptz NOT NULL,
  valid_after timestamptz,          -- null: not planned yet, or never
  closes_at timestamptz,            -- the last instant of the version before
  definition jsonb NOT NULL,
  PRIMARY KEY (job, version)
);

-- The total of all active jobs: fair shares are parts of it. Counted anew by the leader from time to time.
CREATE TABLE escapement.load (
  one boolean PRIMARY KEY DEFAULT true CHECK (one),
  rate double precision NOT NULL,
  jobs bigint NOT NULL
);
INSERT INTO escapement.load (rate, jobs) VALUES (0, 0);

CREATE TABLE escapement.runs (
  settled_at timestamptz NOT NULL,
  job bigint NOT NULL,
  fire_time timestamptz NOT NULL,
  last_fire timestamptz NOT NULL,
  started_at timestamptz,
  finished_at timestamptz,
  fence bigint NOT NULL,
  session bigint NOT NULL,
  settles bigint NOT NULL,
  attempt integer NOT NULL,
  version integer NOT NULL,
  verdict smallint NOT NULL,
  error text NOT NULL
) PARTITION BY RANGE (settled_at);
CREATE INDEX runs_job ON escapement.runs (job, fire_time);

-- Makes the partitions of the days from yesterday to `ahead` days from now (UTC) that are not there yet.
CREATE FUNCTION escapement.make_history_days(ahead integer) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
  day date;
  name text;
BEGIN
  PERFORM pg_advisory_xact_lock(7300105, 2);
  FOR day IN SELECT d::date FROM generate_series((now() AT TIME ZONE 'UTC')::date - 1, (now() AT TIME ZONE 'UTC')::date + ahead,
                                                 interval '1 day') AS d LOOP
    name := 'runs_' || to_char(day, 'YYYYMMDD');
    IF to_regclass('escapement.' || name) IS NULL THEN
      EXECUTE format('CREATE TABLE escapement.%I PARTITION OF escapement.runs FOR VALUES FROM (%L) TO (%L)', name,
                     day::text || ' 00:00:00+00', (day + 1)::text || ' 00:00:00+00');
    END IF;
  END LOOP;
END $$;
SELECT escapement.make_history_days(7);

-- History as people read it.
CREATE VIEW escapement.run_history AS
  SELECT j.id AS job_id, r.fire_time, r.last_fire, r.attempt, r.settles,
         (ARRAY['succeeded', 'failed', 'timed out', 'cancelled', 'lost', 'skipped: misfired', 'skipped: overlapped',
                'skipped: paused'])[r.verdict] AS verdict,
         r.started_at, r.finished_at, r.settled_at, s.pod, r.error
  FROM escapement.runs r
  LEFT JOIN escapement.jobs j ON j.key = r.job
  LEFT JOIN escapement.sessions s ON s.id = r.session;
