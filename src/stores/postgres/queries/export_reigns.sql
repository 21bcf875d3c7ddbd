-- The versions of some jobs that planned, by time. Reads only. $1 keys.
SELECT job, version, definition::text, valid_after, closes_at FROM escapement.definitions
WHERE job = ANY ($1) AND valid_after IS NOT NULL ORDER BY job, version
