-- Hands jobs back, unsettled; the time to look stays. Only rows still held under the given fence change, so a late or
-- repeated release takes nothing from a new owner.
-- $1 session; arrays: $2 key, $3 fence.
UPDATE escapement.jobs j SET owner = NULL,
  claim_at = CASE WHEN j.state = 1 THEN CASE WHEN j.to_plan THEN now() ELSE j.due_at END END
FROM unnest($2::bigint[], $3::bigint[]) AS u (key, fence)
WHERE j.key = u.key AND COALESCE(j.owner, 0) = $1 AND j.fence = u.fence
