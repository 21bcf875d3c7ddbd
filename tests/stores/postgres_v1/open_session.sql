-- Registers a pod. Each call is a new session. $1 pod, $2 TTL in microseconds.
INSERT INTO escapement.sessions (pod, ttl_us) VALUES ($1, $2) RETURNING id
