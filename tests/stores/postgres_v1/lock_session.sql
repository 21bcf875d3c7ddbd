-- Reclaim, step 1: locks the session's row against claims, commits and beats (FOR UPDATE conflicts with their
-- KEY SHARE), so that whatever they did is visible to step 3, a statement with a later snapshot.
-- $1 session. Gives its beat and whether it is ended.
SELECT beat, ended_at IS NOT NULL FROM escapement.sessions WHERE id = $1 FOR UPDATE
