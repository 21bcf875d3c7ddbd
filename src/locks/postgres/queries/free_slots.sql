-- Each holder's own rows alone, so that many can do it at once. $1 $2 keys and holders of slots, $3 $4 of starts.
WITH slots AS (
  DELETE FROM escapement.slots WHERE (key, holder) IN (SELECT k, h FROM unnest($1::text[], $2::text[]) AS u (k, h))
)
DELETE FROM escapement.starts WHERE (key, holder) IN (SELECT k, h FROM unnest($3::text[], $4::text[]) AS u (k, h))
