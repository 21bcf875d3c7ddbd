-- All live sessions, and the total load with each. Reads only.
SELECT s.id, s.pod, s.beat, s.ttl_us, s.rate, s.owned, l.rate, l.jobs
FROM escapement.load l LEFT JOIN escapement.sessions s ON s.ended_at IS NULL ORDER BY s.id
