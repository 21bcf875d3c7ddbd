"""The mistakes that tools/planted-faults plants: those of other schedulers, and those that each rule of the store's
protocol is there to prevent."""

from typing import NamedTuple


class Fault(NamedTuple):
    name: str
    program: str  # the test program that must fail
    file: str
    old: str  # found once in the file
    new: str


_MEMORY = ("memory_store_test", "src/stores/memory/memory_store.cc")
_LOCKS = ("memory_locks_test", "src/locks/memory/memory_locks.cc")
_RUNNER = ("executors_test", "src/executors/process/process_runner.cc")
_CHILD = ("executors_test", "src/executors/process/child.cc")
_NOTIFIER = ("memory_locks_test", "src/locks/memory/memory_notifier.cc")

_SQL = "src/stores/postgres/queries/"
_LEASES = "src/locks/postgres/queries/"
_UNIQUE = "src/stores/postgres/migrations/0006_unique_keys_sql.sql"
_EFFECTS = "src/stores/postgres/migrations/0003_fenced_effects.sql"


def _postgres(name, query, old, new):
    return Fault("PostgreSQL: " + name, "postgres_store_pgtest", _SQL + query + ".sql", old, new)


def _effects(name, file, old, new):
    return Fault("effects: " + name, "postgres_effects_pgtest", file, old, new)


def _redis(name, script, old, new):
    return Fault("Redis: " + name, "redis_store_redistest", "src/stores/redis/scripts/" + script + ".lua", old, new)


def _sqlite(name, old, new):
    return Fault("SQLite: " + name, "sqlite_store_test", "src/stores/sqlite/statements.h", old, new)


FAULTS = [
    # --- archives
    Fault("archive: a grid loses the anchor that it has from its job", "job_test", "src/job/archive_json.cc",
          "reign->grid = reign->grid.AnchoredAt(job.present.created_at);", ""),
    Fault("archive: one that was cut off passes for whole", "job_test", "src/job/archive_json.cc",
          "if (ended_) return {};\n  return Bad(", "return {};\n  return Bad("),
    Fault("archive: lost lines are not noticed", "job_test", "src/job/archive_json.cc",
          "if (std::holds_alternative<RunInfo>(item)) ++end_.runs;", ""),
    # --- claim
    Fault("claim without a new fence", *_MEMORY, "row->owner = request.session;\n      ++row->fence;",
          "row->owner = request.session;"),
    Fault("claim for a session that was ended", *_MEMORY, "if (!reply.live) return reply;", ""),
    Fault("claim of a job that somebody owns", *_MEMORY,
          "bool Claimable() const { return !owner && state == JobState::kActive; }",
          "bool Claimable() const { return state == JobState::kActive; }"),
    Fault("claim of a paused job", *_MEMORY, "bool Claimable() const { return !owner && state == JobState::kActive; }",
          "bool Claimable() const { return !owner; }"),
    Fault("claim ignores the priority", *_MEMORY, "std::greater<>> claimable;", "std::less<>> claimable;"),
    Fault("claim ignores the queue", *_MEMORY,
          "return queues.contains(QueueKey(*state_->Find(key)->definition));", "return key > 0;"),
    Fault("claim ignores the horizon", *_MEMORY, "it->first < now + request.horizon && n < limit", "n < limit"),
    Fault("claim one more than the limit", *_MEMORY, "std::max(request.limit, 0))", "std::max(request.limit, 0) + 1)"),
    # --- commit
    Fault("commit by owner alone, without the fence", *_MEMORY,
          "row->owner == session && row->fence == completion.fence;", "row->owner == session;"),
    Fault("commit by fence alone, whoever owns", *_MEMORY,
          "row->owner == session && row->fence == completion.fence;", "row->fence == completion.fence;"),
    Fault("commit applied twice", *_MEMORY,
          "if (!owns || row->present.fire_time != completion.fire_time || row->present.attempt != completion.attempt) {",
          "if (!owns) {"),
    Fault("commit compares the occurrence, but not the attempt", *_MEMORY,
          "completion.fire_time || row->present.attempt != completion.attempt) {", "completion.fire_time) {"),
    Fault("a resend is answered as stale", *_MEMORY, "const bool applied = WasApplied(session, completion);",
          "const bool applied = false;"),
    Fault("a removed job is kept", *_MEMORY,
          "completion.keep && more && !outdated && row->state == JobState::kActive;",
          "completion.keep && more && !outdated;"),
    Fault("a job that changed is kept", *_MEMORY,
          "completion.keep && more && !outdated && row->state == JobState::kActive;",
          "completion.keep && more && row->state == JobState::kActive;"),
    Fault("a skip under an older version is applied", *_MEMORY,
          "if (outdated && (!completion.run || WithoutRun(completion.run->verdict))) {",
          "if (outdated && !completion.run) {"),
    Fault("a plan under an older version is applied", *_MEMORY,
          "if (outdated && (!completion.run || WithoutRun(completion.run->verdict))) {",
          "if (outdated && completion.run && WithoutRun(completion.run->verdict)) {"),
    Fault("a plan that comes twice is applied twice", *_MEMORY,
          "if (!completion.run && !outdated && !row->present.to_plan) {", "if (!completion.run && outdated) {"),
    Fault("history is written, the total is not", *_MEMORY, "    row.settled_total += run.settles;\n", ""),
    Fault("the settled point is due again", "memory_store_test", "src/job/settle.cc",
          "return GridOf(job, present).Next(after);\n  after = std::max",
          "return GridOf(job, present).Next(after - Duration(1));\n  after = std::max"),
    Fault("a point at the very start is left out", "schedule_test", "src/schedule/every.cc",
          "if (after >= first_) next +=", "if (after + Duration(1) >= first_) next +="),
    # --- begin, release
    Fault("begin without the fence", *_MEMORY, "row->owner == session && row->fence == request.fence &&",
          "row->owner == session &&"),
    Fault("a started mark is not kept", *_MEMORY, "        row->present.begun = true;\n", ""),
    Fault("release under another fence", *_MEMORY, "row->owner != session || row->fence != fence) continue;",
          "row->owner != session) continue;"),
    # --- death
    Fault("reclaim of a session that beat again", *_MEMORY,
          "if (live != state_->sessions.end() && live->second.beat != beat) return ReclaimReply{};", ""),
    Fault("reclaim leaves the session alive", *_MEMORY, "const bool ended = state_->End(session);",
          "const bool ended = state_->sessions.contains(session);"),
    Fault("reclaim under the old fence", *_MEMORY, "      row.cancel.reset();\n      ++row.fence;\n",
          "      row.cancel.reset();\n"),
    Fault("dead pods are not counted", *_MEMORY, "row.present.lost += lost ? 1 : 0;", "(void)lost;"),
    Fault("a pod that stops counts as dead", *_MEMORY, "state_->HandBack(session, /*lost=*/false);",
          "state_->HandBack(session, /*lost=*/true);"),
    # --- unique keys
    Fault("a unique key's window ends with its job", *_MEMORY,
          "(taken->second.until > now || HoldsKey(taken->second.job_id, job.unique))",
          "HoldsKey(taken->second.job_id, job.unique)"),
    Fault("PostgreSQL: a unique key is taken from a paused job", "postgres_store_pgtest", _UNIQUE,
          "j.state IN (1, 2) AND d.definition", "j.state = 1 AND d.definition"),
    Fault("PostgreSQL: two jobs of one batch have one unique key", "postgres_store_pgtest", _UNIQUE,
          "want.k = ours OR taken.held_until", "taken.held_until"),
    Fault("PostgreSQL: a unique key is taken without its row's lock", "postgres_enqueue_pgtest", _UNIQUE,
          "ON CONFLICT (key) DO UPDATE SET key = EXCLUDED.key\n    RETURNING u.job_id, u.held_until INTO taken;",
          "ON CONFLICT (key) DO NOTHING;\n"
          "    SELECT u.job_id, u.held_until INTO taken FROM escapement.unique_keys u WHERE u.key = want.k;"),
    Fault("SQL: a job with a label lies where no pod looks", "postgres_enqueue_pgtest", _UNIQUE,
          " || COALESCE(E'\\x1f' || (made ->> 'label'), '')", ""),
    Fault("SQL: a number that is whole is kept as it was written", "postgres_enqueue_pgtest", _UNIQUE,
          "RETURN to_jsonb(trunc(input::numeric)::bigint);", "RETURN input;"),
    _redis("a unique key that waits for its job is given away", "take_keys",
           " and (kept == '1' or not After(Add(at, ARGV[1]), now))", ""),
    _redis("a unique key is taken by whoever once found it free", "take_keys", "record == void", "void ~= ''"),
    _redis("a unique key is free when its job is removed", "keep_keys", "' 1 ' .. till", "' 1 0'"),
    _sqlite("a unique key's window ends with its job", "(u.held_until > ?3 OR EXISTS (", "(u.held_until > ?3 + 1e18 OR EXISTS ("),
    # --- users
    Fault("a change takes effect on the occurrence under way", *_MEMORY, "    row->present.to_plan = true;\n", ""),
    Fault("the version stays", *_MEMORY, "    ++row->present.version;\n", ""),
    Fault("resume forgets the paused stretch", *_MEMORY,
          "if (!row->owner) state_->SkipPaused(*row, state_->clock());", ""),
    Fault("fences of an id start again", *_MEMORY, "return std::max(ToMicros(now) / 1000, greatest_fence + 1);",
          "return ToMicros(now) > 0 ? 1 : 0;"),
    Fault("half a batch is enqueued", *_MEMORY, "return GivenTwice(job.id);", "break;"),
    Fault("a triggered run replaces its job", *_MEMORY, "if (!parent) keys[definition.id] = key;",
          "keys[definition.id] = key;"),
    Fault("a triggered run is marked as a scheduled one", *_MEMORY, ".triggered = row.parent.has_value()",
          ".triggered = false"),
    Fault("a cancellation outlives its attempt", *_MEMORY, "    row->present.to_plan = outdated;\n    row->cancel.reset();",
          "    row->present.to_plan = outdated;"),
    Fault("an import overwrites", *_MEMORY,
          "if (state_->keys.contains(job.definition.id)) return AlreadyThere(job.definition.id);", ""),
    # --- the law
    Fault("the audit forgets what an older version planned", *_MEMORY,
          "for (std::size_t i = 0; i < row.reigns.size(); ++i) {",
          "for (std::size_t i = row.reigns.size() - 1; i < row.reigns.size(); ++i) {"),
    Fault("the audit counts a reign's first instant twice", *_MEMORY, "std::max(from, reign.after + Duration(1));",
          "std::max(from, reign.after);"),
    # --- locks and wake-ups
    Fault("a lock is given while it is held", *_LOCKS,
          "if (!lock.token.empty() && now < lock.until) return std::nullopt;", ""),
    Fault("renewal without a look at the holder", *_LOCKS, "found->second.token == lease.token &&", ""),
    Fault("renewal of what has expired", *_LOCKS, "                    clock_() < found->second.until;",
          "                    true;"),
    Fault("a lock's fence stands still", *_LOCKS, "  ++lock.fence;\n", ""),
    Fault("a lost wake-up", *_NOTIFIER, "  state_->Push({.only = 0, .channel = channel, .text = message});\n", ""),
    Fault("a wake-up on every channel", *_NOTIFIER, "if (next->second.channel != message.channel) continue;", ""),
    Fault("a callback after its subscription's end", *_NOTIFIER,
          "state->changed.wait(end, [&state, id] { return state->calling != id; });", ""),
    # --- the same rules in SQL
    _postgres("the progress of a session that was ended is told", "progress", "ended_at IS NULL AND ", ""),
    _postgres("claim without a new fence", "claim", "SET owner = $1, fence = fence + 1, claim_at", "SET owner = $1, claim_at"),
    _postgres("claim for a session that was ended", "claim",
              "AND EXISTS (SELECT FROM live) AND NOT (SELECT found", "AND NOT (SELECT found"),
    _postgres("claim ignores the priority", "claim", "ORDER BY priority DESC, claim_at", "ORDER BY claim_at"),
    _postgres("claim ignores the horizon", "claim", "claim_at < now() + $2 * interval '1 microsecond'",
              "claim_at < now() + (1e9 + $2) * interval '1 microsecond'"),
    _postgres("commit without the fence", "commit", "AND j.fence = u.fence AND j.fire_time", "AND j.fire_time"),
    _postgres("commit by fence alone, whoever owns", "commit", "COALESCE(j.owner, 0) = $1 AND j.fence", "j.fence"),
    _postgres("commit applied twice", "commit", "AND j.fire_time = u.fire AND j.attempt = u.attempt\n", "\n"),
    _postgres("a skip under an older version is applied", "commit", "(j.version = u.version OR u.verdict < 6)", "true"),
    _postgres("what is handed on forgets its fire time", "commit", "CASE WHEN done.verdict = 9 THEN done.fire ELSE now() END", "now()"),
    _postgres("what a removed job hands on is a namesake's", "commit", "(done.verdict <> 9 OR t.key = done.key)", "true"),
    _postgres("a lost count outlives its occurrence", "commit", "THEN j.lost ELSE 0 END", "THEN j.lost ELSE j.lost END"),
    _postgres("begin without the fence", "begin", "AND j.fence = u.fence", ""),
    _postgres("release under another fence", "release", "AND j.fence = u.fence", ""),
    _postgres("reclaim under the old fence", "hand_back", "SET owner = NULL, fence = fence + 1,", "SET owner = NULL,"),
    _postgres("reclaim makes the time to look earlier", "hand_back", "ELSE j.due_at END", "ELSE now() END"),
    _postgres("a resend is answered as stale", "settled_before", "AND r.session = $1", "AND r.session = -1"),
    _postgres("a cancellation outlives its attempt", "cancelled_jobs", "AND cancel_attempt = attempt", ""),
    _postgres("an export holds the history of a namesake", "export_runs", "AND state <> 4 AND parent IS NULL", "AND parent IS NULL"),
    _postgres("a resumption does not begin the count anew", "resume", " failures = 0,", ""),
    _postgres("the pod's count pauses, and not the row's", "commit", "AND j.failures + 1 >= u.pause_at THEN 2",
              "AND u.pause_at IS NOT NULL THEN 2"),
    _postgres("an attempt that is tried again leaves a dead letter", "commit", "FROM done WHERE settles > 0 AND verdict IN (2, 3, 5)",
              "FROM done WHERE verdict IN (2, 3, 5)"),
    _postgres("a dead letter is retried twice", "trigger", " WHERE $6::bigint IS NULL OR EXISTS (SELECT FROM letter)", ""),
    _postgres("a refused retry loses the letter", "trigger", "WHERE id = $6 AND EXISTS (SELECT FROM parent)", "WHERE id = $6"),
    _postgres("claims of a queue that rests", "claim", "p.queue IN ('', split_part(", "p.queue IN ('-', split_part("),
    _postgres("triggered runs of a queue that rests are claimed", "claim", "ltrim(q, E'\\x01')", "q"),
    _effects("a run is checked by its fence alone", _EFFECTS,
             "WHEN job.fire_time <> mine.fire_time OR job.attempt <> mine.attempt THEN", "WHEN false THEN"),
    _effects("a run is checked without its fence", _EFFECTS, "WHEN job.fence <> mine.fence OR job.owner IS NULL THEN",
             "WHEN job.owner IS NULL THEN"),
    _effects("a run of an ended session passes", _EFFECTS, "s.id = job.owner AND s.ended_at IS NULL", "s.id = job.owner"),
    _effects("the check holds nothing", _EFFECTS, " FOR NO KEY UPDATE;", ";"),
    _effects("a run ahead of its pod's commits is stale", _EFFECTS,
             "OR (job.fire_time, job.attempt) >= (mine.fire_time, mine.attempt)", "OR true"),
    _effects("an occurrence is completed twice", _EFFECTS, "ELSIF job.completed THEN", "ELSIF false THEN"),
    _effects("a frozen task holds its job for ever", _EFFECTS, "PERFORM set_config(", "PERFORM concat("),
    _effects("a completed run fails all the same", _SQL + "commit.sql",
             "j.completed_fire IS DISTINCT FROM j.fire_time OR j.fire_time <= j.cursor", "true"),
    _effects("a completion is taken for the next occurrence's", _SQL + "recover.sql", "t.completed_fire = t.fire_time AND ", ""),
    _effects("a claim does not see the completion", _SQL + "claim.sql", "THEN t.completed_at END", "THEN NULL::timestamptz END"),
    _effects("a completed occurrence is skipped as paused", "src/stores/postgres/postgres_store.cc",
             "&& !present.completed_at", ""),
    Fault("PostgreSQL: a lock is given while it is held", "postgres_locks_pgtest", _LEASES + "acquire.sql",
          "WHERE l.token IS NULL OR l.held_until <= clock_timestamp()", ""),
    Fault("PostgreSQL: renewal without a look at the holder", "postgres_locks_pgtest", _LEASES + "renew.sql",
          "AND token = $2", "AND $2 <> ''"),
    Fault("PostgreSQL: a lock's fence stands still", "postgres_locks_pgtest", _LEASES + "acquire.sql",
          "fence = l.fence + 1", "fence = l.fence"),
    # --- commands
    Fault("a command's children outlive it", *_RUNNER,
          "group's, is nobody else's.\n    kill(-r.child.pid, SIGKILL);", "group's, is nobody else's."),
    Fault("a command that ignores its cancellation runs on", *_RUNNER, "kills_.emplace(*r.kill_at, key);", ""),
    Fault("a command alone is asked to stop, not its group", *_RUNNER, "kill(-r.child.pid, SIGTERM);",
          "kill(r.child.pid, SIGTERM);"),
    Fault("a stopped command does not hear its cancellation", *_RUNNER, "kill(-r.child.pid, SIGCONT);", ""),
    Fault("a command's whole output is kept", *_RUNNER, "if (text_.size() + text.size() > 2 * limit_)", "if (false)"),
    Fault("a command's output is read at its end only", *_RUNNER, "if (what == OutputOf(found->first)) {",
          "if (what == OutputOf(found->first) && !found->second->kill_at) continue;\n"
          "      if (what == OutputOf(found->first)) {"),
    Fault("a command sees the pod's secrets", *_RUNNER, ' || text.starts_with("ESCAPEMENT_")', ""),
    Fault("a runner that ends leaves its commands running", *_RUNNER,
          'for (auto& [key, running] : running_) Kill(*running, "the pod ended");', ""),
    Fault("a command inherits descriptors", *_CHILD,
          "dup2(prepared.output.get(), STDERR_FILENO) < 0 ||\n      close_range(3, ~0U, CLOSE_RANGE_CLOEXEC) != 0)",
          "dup2(prepared.output.get(), STDERR_FILENO) < 0)"),
    Fault("a command inherits the pod's ignored signals", *_CHILD,
          "for (int number = 1; number < NSIG; ++number) signal(number, SIG_DFL);", ""),
    Fault("a command inherits the runner's blocked signals", *_CHILD,
          "if (sigprocmask(SIG_SETMASK, &none, nullptr) != 0) give_up(kSetUp);", ""),
    Fault("a command outlives a killed pod", *_CHILD, "if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) give_up(kSetUp);", ""),
    Fault("a run that ended goes on telling its progress", "executors_test", "src/executors/function/function_executor.cc",
          "      telling.erase(run->start.id);\n", ""),
    Fault("a command tells its progress in the middle of a line", "executors_test", "src/executors/process/progress_lines.cc",
          "if (!begins_line(at)) continue;", ""),
    Fault("a heartbeat carries any number of runs", "engine_test", "src/engine/pod.cc", "if (told.size() > kMostProgress) {", "if (false) {"),
    # --- in Lua
    _redis("claim without a new fence", "claim", "'HINCRBY', P .. row, 'fen', 1)", "'HINCRBY', P .. row, 'fen', 0)"),
    _redis("claim for a session that was ended", "claim", "if not call('HGET', P .. 's', ARGV[1]) then return {now, '0'} end", ""),
    _redis("claim ignores the priority", "claim", "for priority = 10, lowest, -1 do\n  if #chosen", "for priority = 0, 10 do\n  if #chosen"),
    _redis("claim ignores the horizon", "claim", "'(' .. Add(now, ARGV[2])", "'+inf'"),
    _redis("commit without the fence", "commit", "local owns = pod and own == session and fen == fence",
           "local owns = pod and own == session"),
    _redis("commit by fence alone, whoever owns", "commit", "local owns = pod and own == session and fen == fence",
           "local owns = pod and fen == fence"),
    _redis("commit applied twice", "commit", "if not owns or old_fire ~= fire or att ~= attempt then", "if not owns then"),
    _redis("a resend is answered as stale", "commit", "local applied = verdict ~= '' and id and", "local applied = false and"),
    _redis("a skip under an older version is applied", "commit", "or verdict == '6' or verdict == '7' or verdict == '8' or verdict == '9')", ")"),
    _redis("begin without the fence", "begin", "and v[2] == ARGV[i + 1]", ""),
    _redis("release under another fence", "release", "and row.fen == ARGV[i + 1]", ""),
    _redis("reclaim under the old fence", "hand_back", "row.fen = Add(row.fen, 1)", ""),
    _redis("dead pods are not counted", "hand_back", "row.lost = Add(row.lost, 1)", ""),
    _redis("a resumption does not begin the count anew", "resume", "row.fl = '0'\n", ""),
    _redis("the pod's count pauses, and not the row's", "commit", " and not After(pause_at, failures)", ""),
    _redis("the failure that pauses lets the job be kept", "commit", "and st == '1' and not pause", "and st == '1'"),
    _redis("a dead letter is retried twice", "trigger", "  call('ZREM', P .. 'dl', letter)\n", ""),
    _redis("claims of a queue that rests", "claim", "string.match(queue, '^[^\\31]*')", "'-'"),
    _redis("everything does not rest", "claim", "if call('SISMEMBER', P .. 'pq', '') == 0 then", "if true then"),
    _redis("progress is kept when nothing is told any more", "beat", ", 'owned', ARGV[3], 'progress', ARGV[4])",
           ", 'owned', ARGV[3])\n  if ARGV[4] ~= '' then call('HSET', P .. 'ss:' .. ARGV[1], 'progress', ARGV[4]) end"),
    # --- in SQLite's SQL
    _sqlite("progress is kept when nothing is told any more", "progress = ?4 WHERE", "progress = COALESCE(?4, progress) WHERE"),
    _sqlite("claim without a new fence", "SET owner = ?2, fence = fence + 1, claim_at = NULL", "SET owner = ?2, claim_at = NULL"),
    _sqlite("begin without the fence", "AND owner = ?2 AND fence = ?3 AND fire_time = ?4", "AND owner = ?2 AND ?3 = ?3 AND fire_time = ?4"),
    _sqlite("reclaim under the old fence", "SET owner = NULL, cancel = 0, fence = fence + 1,", "SET owner = NULL, cancel = 0,"),
    _sqlite("dead pods are not counted", "lost = lost + ?3, ", "lost = lost + 0 * ?3, "),
    _sqlite("what is kept forgets its failures", "settled_total = ?8, failures = ?9 WHERE", "settled_total = ?8, failures = 0 * ?9 WHERE"),
    _sqlite("a triggered run's dead letter is a scheduled one's", "?6, parent IS NOT NULL, ?7", "?6, 0, ?7"),
    _sqlite("a queue that is resumed rests on", "DELETE FROM paused_queues WHERE queue = ?1", "DELETE FROM paused_queues WHERE queue <> ?1"),
    # --- users
    Fault("what waits for a slot is not cancelled", "engine_test", "src/engine/pod.cc",
          "} else if (held.phase == Phase::kReady || held.phase == Phase::kQueued) {", "} else if (held.phase == Phase::kReady) {"),
    Fault("a claim that arrives late is started, though its queue rests", "engine_test", "src/engine/pod.cc",
          " && !paused_.Hold(held.job.definition->queue)", ""),
    Fault("pods ask for what they would hand back", "engine_test", "src/engine/pod.cc",
          "[&](const std::string& queue) { return !paused_.Hold(QueueOf(queue)); }", "[](const std::string&) { return true; }"),
    Fault("a filter by metadata takes whoever has one of them", *_MEMORY[:1], "src/job/definition_json.cc",
          "return std::includes(metadata.begin(), metadata.end(), wanted.begin(), wanted.end());",
          "return std::any_of(wanted.begin(), wanted.end(), [&](const auto& w) { return metadata.contains(w.first); });"),
]
