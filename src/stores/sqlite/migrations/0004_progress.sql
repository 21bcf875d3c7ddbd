-- How far runs have come, as their pods tell with each heartbeat.

ALTER TABLE sessions ADD COLUMN progress TEXT;  -- JSON; NULL: no run told of any
