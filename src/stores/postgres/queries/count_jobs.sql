-- Jobs by state, and how many of them are unowned though their time has come. Reads only.
SELECT state, count(*), count(*) FILTER (WHERE claim_at <= now()) FROM escapement.jobs WHERE state <> 4 AND parent IS NULL GROUP BY state
