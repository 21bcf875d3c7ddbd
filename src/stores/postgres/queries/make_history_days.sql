-- Makes the history partitions of the next days. One at a time, by an advisory lock. $1 days ahead.
SELECT escapement.make_history_days($1)
