-- Sets a shard's marker of a session that was just opened: from now on it may claim here. ARGV: session, pod.
call('HSET', P .. 's', ARGV[1], ARGV[2])
return 1
