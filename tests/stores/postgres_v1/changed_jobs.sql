-- Jobs of a session whose definition or state was changed by a user. Reads only; a partial index keeps it short.
-- $1 session.
SELECT key FROM escapement.jobs WHERE owner = $1 AND owner IS NOT NULL AND (to_plan OR state <> 1)
