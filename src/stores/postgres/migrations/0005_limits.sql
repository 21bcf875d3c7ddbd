-- Slots and starts: concurrency and rate limits, for pods whose lock service is this database.
-- Only adds: a program that knows an earlier version alone keeps working beside newer ones.

CREATE TABLE escapement.slots (
  key text COLLATE "C" NOT NULL,
  holder text COLLATE "C" NOT NULL,
  held_until timestamptz NOT NULL,
  PRIMARY KEY (key, holder)
) WITH (fillfactor = 50);

CREATE TABLE escapement.starts (
  key text COLLATE "C" NOT NULL,
  holder text COLLATE "C" NOT NULL,
  counted_at timestamptz NOT NULL,
  PRIMARY KEY (key, holder)
);
CREATE INDEX starts_by_time ON escapement.starts (key, counted_at);

-- Takes for each request, in order, all of its slots and counts one start for each of its rates, or does nothing for it.
-- Request n has the slots and the starts whose of_request is n. Gives for each -1 when it was granted, else the
-- microseconds until its rates can allow it.
-- Safe with many callers: each key that is asked for is locked first, in the order of the locks, until the transaction
-- ends; the statements below then see what the one before committed.
CREATE FUNCTION escapement.take_slots(
  holders text[], ttl bigint,
  limit_of integer[], limit_keys text[], limit_slots integer[],
  rate_of integer[], rate_keys text[], rate_starts integer[], rate_per bigint[], remembered integer)
RETURNS bigint[] LANGUAGE plpgsql AS $$
DECLARE
  answers bigint[] := '{}';
  moment timestamptz;
  answer bigint;
  wait bigint;
  oldest timestamptz;
BEGIN
  PERFORM pg_advisory_xact_lock(7300106, h)
  FROM (SELECT DISTINCT hashtext(k) AS h FROM unnest(limit_keys || rate_keys) AS k ORDER BY h) AS ordered;
  moment := clock_timestamp();
  DELETE FROM escapement.slots WHERE key = ANY (limit_keys) AND held_until <= moment;
  FOR n IN 1 .. cardinality(holders) LOOP
    answer := -1;
    FOR i IN 1 .. cardinality(limit_of) LOOP
      CONTINUE WHEN limit_of[i] <> n;
      IF (SELECT count(*) >= limit_slots[i] AND NOT COALESCE(bool_or(holder = holders[n]), false)
          FROM escapement.slots WHERE key = limit_keys[i]) THEN
        answer := greatest(answer, 0);
      END IF;
    END LOOP;
    FOR i IN 1 .. cardinality(rate_of) LOOP
      CONTINUE WHEN rate_of[i] <> n;
      -- Of the newest so many starts, the oldest must have left the window.
      SELECT counted_at INTO oldest FROM escapement.starts WHERE key = rate_keys[i]
      ORDER BY counted_at DESC OFFSET rate_starts[i] - 1 LIMIT 1;
      CONTINUE WHEN NOT FOUND;
      wait := rate_per[i] - (extract(epoch FROM moment - oldest) * 1000000)::bigint;
      IF wait > 0 AND NOT EXISTS (SELECT FROM escapement.starts WHERE key = rate_keys[i] AND holder = holders[n]) THEN
        answer := greatest(answer, wait);
      END IF;
    END LOOP;
    IF answer < 0 THEN
      INSERT INTO escapement.slots (key, holder, held_until)
      SELECT limit_keys[i], holders[n], moment + ttl * interval '1 microsecond'
      FROM generate_subscripts(limit_of, 1) AS i WHERE limit_of[i] = n
      ON CONFLICT (key, holder) DO UPDATE SET held_until = excluded.held_until;
      INSERT INTO escapement.starts (key, holder, counted_at)
      SELECT rate_keys[i], holders[n], moment FROM generate_subscripts(rate_of, 1) AS i WHERE rate_of[i] = n
      ON CONFLICT (key, holder) DO NOTHING;
    END IF;
    answers := answers || answer;
  END LOOP;
  -- More than can count, now and then.
  IF random() < 0.01 THEN
    DELETE FROM escapement.starts WHERE (key, holder) IN (
      SELECT keys.k, old.holder FROM (SELECT DISTINCT unnest(rate_keys) AS k) AS keys
      CROSS JOIN LATERAL (SELECT s.holder FROM escapement.starts AS s WHERE s.key = keys.k
                          ORDER BY s.counted_at DESC, s.holder OFFSET remembered) AS old);
  END IF;
  RETURN answers;
END $$;
