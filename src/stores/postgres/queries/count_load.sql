-- Counts the load of all active jobs anew. The last writer wins; the figures guide shares only.
UPDATE escapement.load SET (rate, jobs) = (SELECT COALESCE(sum(rate), 0), count(*) FROM escapement.jobs WHERE state = 1)
