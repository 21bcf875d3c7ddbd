-- Jobs, their definitions, reigns, sessions, history. Instants are microseconds since 1970, UTC.

CREATE TABLE sessions (  -- the live ones; an ended session's id never comes back
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  pod TEXT NOT NULL,
  ttl_us INTEGER NOT NULL,
  beat INTEGER NOT NULL DEFAULT 1,
  rate REAL NOT NULL DEFAULT 0,
  owned INTEGER NOT NULL DEFAULT 0
) STRICT;

-- The hot table: one update for each execution. No index is touched as long as claim_at and owner keep their values:
-- across the commits of a job that its pod keeps.
CREATE TABLE jobs (
  key INTEGER PRIMARY KEY AUTOINCREMENT,  -- a removed job's key never comes back
  id TEXT NOT NULL,
  parent INTEGER,                -- of a triggered run: the job's key. Such a row is in no list, and ends when settled
  queue TEXT NOT NULL,
  priority INTEGER NOT NULL,
  state INTEGER NOT NULL,        -- 1 active, 2 paused, 3 finished, 4 removed: a tombstone when unowned
  version INTEGER NOT NULL,
  attempt INTEGER NOT NULL,
  lost INTEGER NOT NULL,         -- pods that died with the present occurrence
  begun INTEGER NOT NULL,        -- at_most_once: started, not to be started again
  to_plan INTEGER NOT NULL,      -- the definition changed: the next owner plans anew
  cancel INTEGER NOT NULL,       -- a user asked to cancel the present attempt
  created_at INTEGER NOT NULL,
  planned_from INTEGER NOT NULL, -- the last change of the definition; of a tombstone, the removal
  cursor INTEGER NOT NULL,       -- the last settled instant
  fire_time INTEGER NOT NULL,    -- of the occurrence to settle; of no meaning when finished
  due_at INTEGER NOT NULL,       -- the time to look: the fire time or the next attempt's
  claim_at INTEGER,              -- the time to look while active and unowned, else null
  owner INTEGER,                 -- session
  fence INTEGER NOT NULL,
  settled_total INTEGER NOT NULL,
  rate REAL NOT NULL             -- points a second
) STRICT;
CREATE UNIQUE INDEX jobs_id ON jobs (id) WHERE state <> 4 AND parent IS NULL;
CREATE INDEX jobs_removed ON jobs (id) WHERE state = 4 AND parent IS NULL;
CREATE INDEX jobs_parent ON jobs (parent) WHERE parent IS NOT NULL;
CREATE INDEX jobs_due ON jobs (queue, priority, claim_at) WHERE claim_at IS NOT NULL;
CREATE INDEX jobs_owner ON jobs (owner) WHERE owner IS NOT NULL;
CREATE INDEX jobs_told ON jobs (owner) WHERE owner IS NOT NULL AND (to_plan <> 0 OR state <> 1 OR cancel <> 0);

-- Apart from the hot rows: a payload may have a megabyte.
CREATE TABLE definitions (
  job INTEGER PRIMARY KEY,
  definition TEXT NOT NULL
) STRICT;

-- Which version's schedule planned which points, those in (after, until], so that the conservation law can be computed
-- over changes. A schedule without an anchor of its own is anchored at the job's creation.
CREATE TABLE reigns (
  job INTEGER NOT NULL,
  version INTEGER NOT NULL,
  schedule TEXT NOT NULL,
  after INTEGER NOT NULL,
  until INTEGER,             -- null: it reigns still
  PRIMARY KEY (job, version)
) STRICT, WITHOUT ROWID;

CREATE TABLE runs (
  seq INTEGER PRIMARY KEY,   -- the order of settling
  settled_at INTEGER NOT NULL,
  job INTEGER NOT NULL,      -- the job whose history this is
  child INTEGER,             -- the row that ran, of a triggered run; 0: it was imported
  fire_time INTEGER NOT NULL,
  last_fire INTEGER NOT NULL,
  started_at INTEGER,
  finished_at INTEGER,
  fence INTEGER NOT NULL,
  session INTEGER NOT NULL,
  settles INTEGER NOT NULL,
  attempt INTEGER NOT NULL,
  verdict INTEGER NOT NULL,
  pod TEXT NOT NULL,
  error TEXT NOT NULL,
  output TEXT NOT NULL
) STRICT;
CREATE INDEX runs_job ON runs (job, fire_time);
CREATE INDEX runs_stretch ON runs (job, last_fire) WHERE settles > 1;
CREATE INDEX runs_child ON runs (child) WHERE child IS NOT NULL;

-- The total of all active jobs: fair shares are parts of it. Counted anew by the leader from time to time.
CREATE TABLE load (
  one INTEGER PRIMARY KEY CHECK (one = 1),
  rate REAL NOT NULL,
  jobs INTEGER NOT NULL
) STRICT;
INSERT INTO load VALUES (1, 0, 0);

-- History as people read it.
CREATE VIEW run_history AS
  SELECT j.id AS job, datetime(r.fire_time / 1e6, 'unixepoch') AS fire_time, r.attempt, r.settles,
         CASE r.verdict WHEN 1 THEN 'succeeded' WHEN 2 THEN 'failed' WHEN 3 THEN 'timed out' WHEN 4 THEN 'cancelled'
                        WHEN 5 THEN 'lost' WHEN 6 THEN 'skipped: misfired' WHEN 7 THEN 'skipped: overlapped'
                        WHEN 8 THEN 'skipped: paused' END AS verdict,
         (r.finished_at - r.started_at) / 1e6 AS seconds, datetime(r.settled_at / 1e6, 'unixepoch') AS settled_at, r.pod,
         r.error
  FROM runs r LEFT JOIN jobs j ON j.key = r.job;
