-- How many jobs the planner believes in. Reads only.
SELECT reltuples::float8 FROM pg_class WHERE oid = 'escapement.jobs'::regclass
