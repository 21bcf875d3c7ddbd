-- $1 name, $2 token, $3 TTL in microseconds. No row: it was lost.
UPDATE escapement.leases SET held_until = clock_timestamp() + $3 * interval '1 microsecond'
WHERE name = $1 AND token = $2 AND held_until > clock_timestamp() RETURNING fence
