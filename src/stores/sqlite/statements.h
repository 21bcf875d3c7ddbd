// The statements of the store. Each runs inside a transaction of sqlite_store.cc; those that write, in one that holds
// the file's only write lock: nothing changes between a statement and the next. What a pod may change is still compared
// (owner, fence, fire time, attempt), since between its calls others write.
#pragma once

#include <string_view>

namespace escapement::sqlite::sql {

// --- sessions

inline constexpr std::string_view kOpenSession = "INSERT INTO sessions (pod, ttl_us) VALUES (?1, ?2)";
inline constexpr std::string_view kPodOf = "SELECT pod, beat FROM sessions WHERE id = ?1";
inline constexpr std::string_view kBeat =
    "UPDATE sessions SET beat = beat + 1, rate = ?2, owned = ?3, progress = ?4 WHERE id = ?1";
inline constexpr std::string_view kProgress = "SELECT pod, progress FROM sessions WHERE progress IS NOT NULL";
inline constexpr std::string_view kLiveSessions = "SELECT id, pod, beat, ttl_us, rate, owned FROM sessions ORDER BY id";
inline constexpr std::string_view kLoad = "SELECT rate, jobs FROM load";
// What a session must be told of: rows that a user changed, paused, removed or wants cancelled. An index of its own
// keeps it short.
inline constexpr std::string_view kTold =
    "SELECT key, to_plan <> 0 OR state <> 1, cancel, fire_time, attempt FROM jobs "
    "WHERE owner = ?1 AND owner IS NOT NULL AND (to_plan <> 0 OR state <> 1 OR cancel <> 0)";
inline constexpr std::string_view kEndSession = "DELETE FROM sessions WHERE id = ?1";
// Rows of an ended session become unowned under a new fence; their time to look stays. ?2 how many at most, ?3 whether
// the pod died: it counts as lost then.
inline constexpr std::string_view kHandBack =
    "UPDATE jobs SET owner = NULL, cancel = 0, fence = fence + 1, lost = lost + ?3, "
    "claim_at = CASE WHEN state = 1 THEN CASE WHEN to_plan <> 0 THEN planned_from ELSE due_at END END "
    "WHERE key IN (SELECT key FROM jobs WHERE owner = ?1 LIMIT ?2)";
inline constexpr std::string_view kCountOwned = "SELECT count(*) FROM jobs WHERE owner = ?1";
inline constexpr std::string_view kEndedOwner =
    "SELECT owner FROM jobs WHERE owner IS NOT NULL AND owner NOT IN (SELECT id FROM sessions) LIMIT 1";

// --- claims

// In the order of the index. ?4: exclusive.
inline constexpr std::string_view kClaimable =
    "SELECT claim_at, key FROM jobs WHERE claim_at IS NOT NULL AND queue = ?1 AND priority = ?2 "
    "AND claim_at >= ?3 AND claim_at < ?4 ORDER BY claim_at LIMIT ?5";
inline constexpr std::string_view kTake =
    "UPDATE jobs SET owner = ?2, fence = fence + 1, claim_at = NULL WHERE key = ?1";
inline constexpr std::string_view kClaimed =
    "SELECT j.key, j.id, d.definition, j.fence, j.created_at, j.cursor, j.fire_time, j.due_at, j.attempt, j.version, "
    "j.lost, j.begun, j.to_plan, j.planned_from, j.failures FROM jobs j LEFT JOIN definitions d ON d.job = j.key WHERE "
    "j.key = ?1";
inline constexpr std::string_view kOwned =  // a fence that is none is nobody's
    "SELECT key, CASE typeof(fence) WHEN 'integer' THEN fence ELSE -1 END FROM jobs WHERE owner = ?1";
inline constexpr std::string_view kBegin =
    "UPDATE jobs SET begun = 1 WHERE key = ?1 AND owner = ?2 AND fence = ?3 AND fire_time = ?4 AND attempt = ?5";
inline constexpr std::string_view kRelease =
    "UPDATE jobs SET owner = NULL, cancel = 0, "
    "claim_at = CASE WHEN state = 1 THEN CASE WHEN to_plan <> 0 THEN planned_from ELSE due_at END END "
    "WHERE key = ?1 AND owner = ?2 AND fence = ?3";

// --- rows of jobs

inline constexpr std::string_view kRow =
    "SELECT key, parent, state, version, attempt, lost, begun, to_plan, cancel, created_at, planned_from, cursor, "
    "fire_time, due_at, owner, fence, settled_total, failures FROM jobs WHERE key = ?1";
inline constexpr std::string_view kKeyOf = "SELECT key FROM jobs WHERE id = ?1 AND state <> 4 AND parent IS NULL";
inline constexpr std::string_view kRemovedKeysOf =
    "SELECT key, fence FROM jobs WHERE id = ?1 AND state = 4 AND parent IS NULL";
// Only what a kept job's commit changes: no index has any of it.
inline constexpr std::string_view kSaveKept =
    "UPDATE jobs SET attempt = ?2, lost = ?3, begun = ?4, cursor = ?5, fire_time = ?6, due_at = ?7, "
    "settled_total = ?8, failures = ?9 WHERE key = ?1";
inline constexpr std::string_view kSave =
    "UPDATE jobs SET state = ?2, version = ?3, attempt = ?4, lost = ?5, begun = ?6, to_plan = ?7, cancel = ?8, "
    "planned_from = ?9, cursor = ?10, fire_time = ?11, due_at = ?12, claim_at = ?13, owner = ?14, fence = ?15, "
    "settled_total = ?16, failures = ?17 WHERE key = ?1";
inline constexpr std::string_view kInsert =
    "INSERT INTO jobs (id, parent, queue, priority, state, version, attempt, lost, begun, to_plan, cancel, created_at, "
    "planned_from, cursor, fire_time, due_at, claim_at, fence, settled_total, rate, failures) "
    "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, 0, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20)";
inline constexpr std::string_view kDelete = "DELETE FROM jobs WHERE key = ?1";
inline constexpr std::string_view kDefinition =
    "SELECT j.id, d.definition FROM jobs j JOIN definitions d ON d.job = j.key "
    "WHERE j.key = ?1";
inline constexpr std::string_view kInsertDefinition = "INSERT INTO definitions VALUES (?1, ?2)";
inline constexpr std::string_view kChangeDefinition = "UPDATE definitions SET definition = ?2 WHERE job = ?1";
inline constexpr std::string_view kDeleteDefinition = "DELETE FROM definitions WHERE job = ?1";
inline constexpr std::string_view kChangeLists = "UPDATE jobs SET queue = ?2, priority = ?3, rate = ?4 WHERE key = ?1";
inline constexpr std::string_view kAddLoad = "UPDATE load SET rate = rate + ?1, jobs = jobs + ?2";
inline constexpr std::string_view kInsertReign = "INSERT INTO reigns VALUES (?1, ?2, ?3, ?4, ?5)";
inline constexpr std::string_view kEndReign = "UPDATE reigns SET until = ?2 WHERE job = ?1 AND until IS NULL";
inline constexpr std::string_view kReigns =
    "SELECT version, schedule, after, until FROM reigns WHERE job = ?1 ORDER BY version";

// --- what users do

inline constexpr std::string_view kUnownedChildren = "SELECT key FROM jobs WHERE parent = ?1 AND owner IS NULL";
// Runs under way of a job and of what was triggered of it. ?2 now.
inline constexpr std::string_view kCancel =
    "UPDATE jobs SET cancel = 1 WHERE key IN (SELECT ?1 UNION ALL SELECT key FROM jobs WHERE parent = ?1) "
    "AND owner IS NOT NULL AND due_at <= ?2";
inline constexpr std::string_view kGet =
    "SELECT j.id, d.definition, j.version, j.state, j.created_at, j.cursor, j.fire_time, j.attempt, s.pod, j.fence, "
    "j.settled_total, j.failures FROM jobs j JOIN definitions d ON d.job = j.key LEFT JOIN sessions s ON s.id = "
    "j.owner "
    "WHERE j.id = ?1 AND j.state <> 4 AND j.parent IS NULL";
// Ids from ?1 on and after ?2, before ?3; ?4 state or null.
inline constexpr std::string_view kList =
    "SELECT j.id, d.definition, j.version, j.state, j.created_at, j.cursor, j.fire_time, j.attempt, s.pod, j.fence, "
    "j.settled_total, j.failures FROM jobs j JOIN definitions d ON d.job = j.key LEFT JOIN sessions s ON s.id = "
    "j.owner "
    "WHERE j.id >= ?1 AND j.id > ?2 AND j.id < ?3 AND j.state <> 4 AND j.parent IS NULL "
    "AND (?4 IS NULL OR j.state = ?4) ORDER BY j.id LIMIT ?5";
// The plus signs keep it from walking the table in the order of ids.
inline constexpr std::string_view kCountJobs =
    "SELECT state, count(*) FROM jobs WHERE +state <> 4 AND parent IS NULL GROUP BY state";
inline constexpr std::string_view kCountOverdue =
    "SELECT count(*) FROM jobs WHERE claim_at IS NOT NULL AND claim_at <= ?1";
inline constexpr std::string_view kIdsFrom =
    "SELECT id, key FROM jobs WHERE id >= ?1 AND id > ?2 AND id < ?3 AND state <> 4 AND parent IS NULL "
    "ORDER BY id LIMIT ?4";

inline constexpr std::string_view kPauseQueue = "INSERT OR IGNORE INTO paused_queues VALUES (?1)";
inline constexpr std::string_view kResumeQueue = "DELETE FROM paused_queues WHERE queue = ?1";
inline constexpr std::string_view kPausedQueues = "SELECT queue FROM paused_queues";

// --- unique keys

// Whether another job than ?2 holds the key ?1 at ?3. The text of a definition that no program wrote defines no key.
inline constexpr std::string_view kKeyIsHeld =
    "SELECT 1 FROM unique_keys u WHERE u.key = ?1 AND u.job_id <> ?2 AND (u.held_until > ?3 OR EXISTS ("
    "SELECT 1 FROM jobs j JOIN definitions d ON d.job = j.key WHERE j.id = u.job_id AND j.state IN (1, 2) "
    "AND j.parent IS NULL AND CASE WHEN json_valid(d.definition) THEN d.definition ->> '$.unique' = u.key END))";
inline constexpr std::string_view kTakeKey =
    "INSERT INTO unique_keys VALUES (?1, ?2, ?3) "
    "ON CONFLICT (key) DO UPDATE SET job_id = excluded.job_id, held_until = excluded.held_until";
// Keys after ?1 that nobody may hold at ?2: their window is over.
inline constexpr std::string_view kOldKeys =
    "SELECT key FROM unique_keys WHERE key > ?1 AND held_until <= ?2 ORDER BY key LIMIT ?3";
inline constexpr std::string_view kDeleteKey = "DELETE FROM unique_keys WHERE key = ?1";

// --- history

inline constexpr std::string_view kAddRun =
    "INSERT INTO runs (settled_at, job, child, fire_time, last_fire, started_at, finished_at, fence, session, settles, "
    "attempt, verdict, pod, error, output) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)";
// Whether this very completion is in history. ?1 key of the row that ran.
inline constexpr std::string_view kWasApplied =
    "SELECT EXISTS (SELECT 1 FROM runs WHERE job = ?1 AND fire_time = ?2 AND child IS NULL AND session = ?3 "
    "AND fence = ?4 AND attempt = ?5 AND verdict = ?6) "
    "OR EXISTS (SELECT 1 FROM runs WHERE child = ?1 AND fire_time = ?2 AND session = ?3 AND fence = ?4 "
    "AND attempt = ?5 AND verdict = ?6)";
inline constexpr std::string_view kRunsOfAll =
    "SELECT r.seq, j.id, r.fire_time, r.last_fire, r.attempt, r.verdict, r.settles, r.started_at, r.finished_at, "
    "r.settled_at, r.pod, r.error, r.output, r.child IS NOT NULL FROM runs r JOIN jobs j ON j.key = r.job "
    "WHERE r.fire_time >= ?1 AND r.fire_time < ?2 ORDER BY r.seq DESC LIMIT ?3";
inline constexpr std::string_view kRunsOfJob =
    "SELECT r.seq, j.id, r.fire_time, r.last_fire, r.attempt, r.verdict, r.settles, r.started_at, r.finished_at, "
    "r.settled_at, r.pod, r.error, r.output, r.child IS NOT NULL FROM runs r JOIN jobs j ON j.key = r.job "
    "WHERE r.job = ?4 AND r.fire_time >= ?1 AND r.fire_time < ?2 ORDER BY r.fire_time DESC, r.seq DESC LIMIT ?3";
// After a position, in the order of export. ?2 fire time, ?3 attempt, ?4 time of settling.
inline constexpr std::string_view kExportRuns =
    "SELECT r.seq, j.id, r.fire_time, r.last_fire, r.attempt, r.verdict, r.settles, r.started_at, r.finished_at, "
    "r.settled_at, r.pod, r.error, r.output, r.child IS NOT NULL FROM runs r JOIN jobs j ON j.key = r.job "
    "WHERE r.job = ?1 AND r.fire_time >= ?2 AND (r.fire_time, r.attempt, r.settled_at) > (?2, ?3, ?4) "
    "ORDER BY r.fire_time, r.attempt, r.settled_at LIMIT ?5";
// What settled points in [?2, ?3): rows that begin in the window, and stretches that reach into it.
inline constexpr std::string_view kSettled =
    "SELECT fire_time, last_fire, settles, verdict FROM runs "
    "WHERE job = ?1 AND fire_time >= ?2 AND fire_time < ?3 AND settles > 0 AND child IS NULL "
    "UNION ALL SELECT fire_time, last_fire, settles, verdict FROM runs "
    "WHERE job = ?1 AND last_fire >= ?2 AND fire_time < ?2 AND settles > 1 AND child IS NULL";

// --- dead letters

// ?1 key of the row that ran.
inline constexpr std::string_view kAddLetter =
    "INSERT INTO dead_letters (job_id, payload, fire_time, attempts, verdict, error, triggered, settled_at) "
    "SELECT id, ?2, ?3, ?4, ?5, ?6, parent IS NOT NULL, ?7 FROM jobs WHERE key = ?1";
// In the order of ids, after ?1; with payloads if ?3.
inline constexpr std::string_view kLetters =
    "SELECT id, job_id, CASE WHEN ?3 THEN payload ELSE '' END, fire_time, attempts, verdict, error, triggered, "
    "settled_at FROM dead_letters WHERE id > ?1 ORDER BY id LIMIT ?2";
inline constexpr std::string_view kLettersOf =
    "SELECT id, job_id, CASE WHEN ?3 THEN payload ELSE '' END, fire_time, attempts, verdict, error, triggered, "
    "settled_at FROM dead_letters WHERE job_id = ?4 AND id > ?1 ORDER BY id LIMIT ?2";
inline constexpr std::string_view kLetter = "SELECT job_id, payload FROM dead_letters WHERE id = ?1";
inline constexpr std::string_view kDeleteLetter = "DELETE FROM dead_letters WHERE id = ?1";

// --- upkeep

inline constexpr std::string_view kCountLoad = "SELECT COALESCE(sum(rate), 0.0), count(*) FROM jobs WHERE state = 1";
inline constexpr std::string_view kSetLoad = "UPDATE load SET rate = ?1, jobs = ?2";
inline constexpr std::string_view kOldestRuns = "SELECT seq, settled_at FROM runs ORDER BY seq LIMIT ?1";
inline constexpr std::string_view kDeleteRuns = "DELETE FROM runs WHERE seq <= ?1";
// Removed jobs that nothing refers to any more. ?1 removed before.
inline constexpr std::string_view kTombstones =
    "SELECT key FROM jobs j WHERE state = 4 AND parent IS NULL AND owner IS NULL AND planned_from < ?1 "
    "AND NOT EXISTS (SELECT 1 FROM runs r WHERE r.job = j.key) "
    "AND NOT EXISTS (SELECT 1 FROM jobs c WHERE c.parent = j.key AND c.parent IS NOT NULL) LIMIT ?2";
inline constexpr std::string_view kDeleteReigns = "DELETE FROM reigns WHERE job = ?1";

}  // namespace escapement::sqlite::sql
