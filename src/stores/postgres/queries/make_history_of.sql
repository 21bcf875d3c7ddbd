-- Makes the history partitions of the days of some instants (UTC). One at a time, by an advisory lock. $1 instants.
SELECT escapement.make_history_day(d.day) FROM (
  SELECT DISTINCT (t AT TIME ZONE 'UTC')::date AS day FROM unnest($1::timestamptz[]) AS t) AS d
