-- The function locks the keys it looks at. $1 holders, $2 TTL in microseconds, $3 $4 $5 of each limit its request (from
-- 1), key, slots; $6 $7 $8 $9 of each rate its request, key, starts, microseconds; $10 how many starts are remembered.
-- Gives for each request -1 when it was granted, else the microseconds until its rates can allow it.
SELECT unnest(escapement.take_slots($1, $2, $3, $4, $5, $6, $7, $8, $9, $10))
