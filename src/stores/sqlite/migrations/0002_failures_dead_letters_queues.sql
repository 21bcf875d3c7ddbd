-- Failures in a row, what is left of occurrences that failed for good, and queues that rest.

ALTER TABLE jobs ADD COLUMN failures INTEGER NOT NULL DEFAULT 0;  -- occurrences, up to the last one, that failed for good

-- They stay until somebody retries or discards them, whatever becomes of their jobs and of history.
CREATE TABLE dead_letters (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  job_id TEXT NOT NULL,
  payload TEXT NOT NULL,     -- what the last attempt was given
  fire_time INTEGER NOT NULL,
  attempts INTEGER NOT NULL,
  verdict INTEGER NOT NULL,  -- of the last attempt: 2 failed, 3 timed out, 5 lost
  error TEXT NOT NULL,
  triggered INTEGER NOT NULL,
  settled_at INTEGER NOT NULL
) STRICT;
CREATE INDEX dead_letters_job ON dead_letters (job_id, id);

CREATE TABLE paused_queues (
  queue TEXT PRIMARY KEY  -- '': everything
) STRICT, WITHOUT ROWID;
