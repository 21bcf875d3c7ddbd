-- The queues that rest; '' is everything. Reads only.
SELECT queue FROM escapement.paused_queues
