-- Takes a name that is free, given back or expired. The row's lock decides between many who try.
-- $1 name, $2 token, $3 TTL in microseconds. Gives the fence; no row: somebody holds it.
INSERT INTO escapement.leases AS l (name, token, fence, held_until)
VALUES ($1, $2, 1, clock_timestamp() + $3 * interval '1 microsecond')
ON CONFLICT (name) DO UPDATE SET token = excluded.token, fence = l.fence + 1, held_until = excluded.held_until
WHERE l.token IS NULL OR l.held_until <= clock_timestamp()
RETURNING fence
