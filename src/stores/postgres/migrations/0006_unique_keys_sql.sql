-- Unique keys. Only adds: a program that knows an earlier version
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
