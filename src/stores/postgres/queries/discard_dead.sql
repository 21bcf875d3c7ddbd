-- Discards dead letters. Safe when many run it, and beside a retry: each letter is deleted once, and told by who did it.
-- $1 ids.
DELETE FROM escapement.dead_letters WHERE id = ANY ($1) RETURNING id
