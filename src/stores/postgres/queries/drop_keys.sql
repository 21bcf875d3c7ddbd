-- Drops unique keys that nobody holds any more, at most $1, after the key $2. Gives the last key that was looked at, or
-- null at the end. Each is locked before it is looked at again: nobody takes it meanwhile.
SELECT escapement.drop_keys($1, $2)
