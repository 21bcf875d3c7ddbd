-- The store's clock, read as late as possible.
SELECT clock_timestamp()
