-- Ended sessions that still own rows: whoever reclaimed them died before it was done. Reads only.
SELECT s.id FROM escapement.sessions s
WHERE s.ended_at IS NOT NULL AND EXISTS (SELECT FROM escapement.jobs j WHERE j.owner = s.id AND j.owner IS NOT NULL)
