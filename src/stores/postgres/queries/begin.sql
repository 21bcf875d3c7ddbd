-- Marks at_most_once occurrences as started, before they are. Safe to repeat: the comparison is commit's, and the mark
-- does not change what is compared.
-- $1 session; arrays: $2 key, $3 fence, $4 fire time, $5 attempt. Gives the ordinals that may start.
WITH live AS MATERIALIZED (
  SELECT id FROM escapement.sessions WHERE id = $1 AND ended_at IS NULL FOR KEY SHARE
)
UPDATE escapement.jobs j SET begun = true
FROM live, unnest($2::bigint[], $3::bigint[], $4::timestamptz[], $5::integer[]) WITH ORDINALITY
     AS u (key, fence, fire, attempt, ordinal)
WHERE j.key = u.key AND COALESCE(j.owner, 0) = $1 AND j.fence = u.fence AND j.fire_time = u.fire AND j.attempt = u.attempt AND j.state = 1
RETURNING u.ordinal
