-- Jobs to audit, in pages by id, with every version of their schedules that was planned. Reads only.
-- $1 id prefix (LIKE pattern), $2 after this id, $3 limit of jobs.
WITH page AS (
  SELECT key, id, created_at FROM escapement.jobs WHERE state <> 4 AND parent IS NULL AND id LIKE $1 AND id > $2 ORDER BY id LIMIT $3
)
SELECT p.key, p.id, p.created_at, d.definition::text, d.valid_after, d.closes_at
FROM page p JOIN escapement.definitions d ON d.job = p.key
WHERE d.valid_after IS NOT NULL
ORDER BY p.id, d.version
