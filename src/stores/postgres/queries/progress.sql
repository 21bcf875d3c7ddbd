-- What live sessions sent of their runs with their last heartbeat. Reads only.
SELECT pod, progress FROM escapement.sessions WHERE ended_at IS NULL AND progress IS NOT NULL
