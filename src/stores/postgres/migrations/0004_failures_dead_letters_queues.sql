-- Failures in a row, what is left of occurrences that failed for good, and queues that rest. Only adds: a program that
-- knows an older version works on beside newer ones. It counts no failures, leaves no dead letters, knows of no queue
-- that rests, and leaves jobs that are to be paused after failures to those that know what that is.

ALTER TABLE escapement.jobs
  ADD COLUMN failures integer NOT NULL DEFAULT 0;  -- occurrences in a row, up to the last one, that failed for good

-- They stay until somebody retries or discards them, whatever becomes of their jobs and of history.
CREATE TABLE escapement.dead_letters (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  job_id text COLLATE "C" NOT NULL,
  payload text NOT NULL,            -- what the last attempt was given
  fire_time timestamptz NOT NULL,
  attempts integer NOT NULL,
  verdict smallint NOT NULL,        -- of the last attempt: 2 failed, 3 timed out, 5 lost
  error text NOT NULL,
  triggered boolean NOT NULL,
  settled_at timestamptz NOT NULL
);
CREATE INDEX dead_letters_job ON escapement.dead_letters (job_id, id);

CREATE TABLE escapement.paused_queues (
  queue text COLLATE "C" PRIMARY KEY,  -- '': everything
  paused_at timestamptz NOT NULL DEFAULT now()
);
