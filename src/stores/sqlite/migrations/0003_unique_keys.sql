-- Who took a unique key last. A job holds its key until then, and longer as long as it is there, is not finished and still
-- defines the key: that is looked up when somebody else asks for the key.
CREATE TABLE unique_keys (
  key TEXT PRIMARY KEY,
  job_id TEXT NOT NULL,
  held_until INTEGER NOT NULL  -- what was created with it may be finished or removed meanwhile
) STRICT, WITHOUT ROWID;
