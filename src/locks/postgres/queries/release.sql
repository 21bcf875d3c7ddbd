-- The row stays: its fence must not start again. $1 name, $2 token. No row: it was not held.
UPDATE escapement.leases SET token = NULL WHERE name = $1 AND token = $2 AND held_until > clock_timestamp() RETURNING fence
