-- How far runs have come, as their pods tell with each heartbeat.
-- Only adds: a program that knows an earlier version alone keeps working beside newer ones.

ALTER TABLE escapement.sessions ADD COLUMN progress text;  -- JSON; NULL: no run told of any
