-- For completions that matched no row: those already in history under the same session, fence, attempt and verdict
-- were applied by an earlier send. Reads only.
-- $1 session; arrays: $2 key, $3 fence, $4 fire time, $5 attempt, $6 verdict or null, $7 next fire time or null.
SELECT u.ordinal,
       CASE WHEN u.verdict IS NULL THEN owned AND NOT j.to_plan AND j.fire_time IS NOT DISTINCT FROM u.next_fire
            ELSE EXISTS (SELECT FROM escapement.runs r
                         WHERE r.job = u.key AND r.fire_time = u.fire AND r.fence = u.fence AND r.attempt = u.attempt
                           AND r.session = $1 AND r.verdict = u.verdict) END AS applied,
       owned
FROM unnest($2::bigint[], $3::bigint[], $4::timestamptz[], $5::integer[], $6::smallint[], $7::timestamptz[]) WITH ORDINALITY
     AS u (key, fence, fire, attempt, verdict, next_fire, ordinal)
LEFT JOIN LATERAL (
  SELECT COALESCE(x.owner = $1 AND x.fence = u.fence, false) AS owned, x.fire_time, x.to_plan FROM escapement.jobs x WHERE x.key = u.key
) j ON true
