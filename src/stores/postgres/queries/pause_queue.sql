-- Lets a queue rest, or everything ($1 empty). Doing it twice is doing it once. Claims see it as soon as it is committed.
INSERT INTO escapement.paused_queues (queue) VALUES ($1) ON CONFLICT DO NOTHING
