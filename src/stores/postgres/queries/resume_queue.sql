-- Lets a queue go on, or everything ($1 empty) but what rests by itself.
DELETE FROM escapement.paused_queues WHERE queue = $1
