"""Mistakes in the protocol that the simulation must find by itself, and rules whose loss changes nothing.

tools/planted-faults --list simulation plants each and counts the seeds until a history breaks a rule."""

from typing import NamedTuple


class Mistake(NamedTuple):
    part: str
    name: str
    file: str
    old: str  # found once in the file
    new: str
    spare: str = ""  # why no history can break a rule without it; empty: a rule must break


_POD = "src/engine/pod.cc"
_CLOCK = "src/engine/store_clock.h"
_SETTLE = "src/job/settle.cc"
_STORE = "src/stores/memory/memory_store.cc"
_EXECUTOR = "src/sim/world.cc"  # the part that stands for the driver and the executors

_OWNS = "row->owner == session && row->fence == completion.fence;"
_SAME = "if (!owns || row->present.fire_time != completion.fire_time || row->present.attempt != completion.attempt) {"
_KEPT = "completion.keep && more && !outdated && row->state == JobState::kActive;"
_STARTED = "(present.attempt > 1 || present.begun || present.lost > 0 || present.completed_at);"
_OUTDATED = "if (outdated && (!completion.run || WithoutRun(completion.run->verdict))) {"
_RESEND = ("    outbox_.insert(outbox_.begin(), std::make_move_iterator(committing_.begin()),\n"
           "                   std::make_move_iterator(committing_.end()));\n    committing_.clear();\n"
           "    // The store is away")
_HAND_BACK = "      row.cancel.reset();\n      ++row.fence;\n      row.present.lost += lost ? 1 : 0;\n"
_MARK = "      held.phase = Phase::kBeginning;\n      to_begin_.push_back({top.key, held.job.fence, p.fire_time, p.attempt});\n      continue;\n"

MISTAKES = [
    # --- claim
    Mistake("claim", "by state and not by occurrence: whatever its time", _STORE,
            "it->first < now + request.horizon && n < limit", "n < limit"),
    Mistake("claim", "of rows that somebody owns", _STORE,
            "bool Claimable() const { return !owner && state == JobState::kActive; }",
            "bool Claimable() const { return state == JobState::kActive; }"),
    Mistake("claim", "of paused jobs", _STORE, "bool Claimable() const { return !owner && state == JobState::kActive; }",
            "bool Claimable() const { return !owner; }"),
    Mistake("claim", "of other queues' jobs", _STORE,
            "return queues.contains(QueueKey(*state_->Find(key)->definition));", "return key > 0;"),
    Mistake("claim", "for a session that was ended", _STORE, "if (!reply.live) return reply;", ""),
    Mistake("claim", "without a new fence", _STORE, "row->owner = request.session;\n      ++row->fence;",
            "row->owner = request.session;"),
    Mistake("claim", "wake-ups are trusted: nobody looks by himself", _POD,
            "  next_claim_ = now + Jittered(kSatedClaimPeriod);\n", "  next_claim_ = now + std::chrono::hours(1);\n"),
    # --- recover
    Mistake("recover", "not after a claim in doubt", _POD,
            "    need_recover_ = true;  // what the lost answer would have told\n", ""),
    Mistake("recover", "not now and then", _POD, "if (++beats_since_recover_ >= kBeatsBetweenRecovers) {",
            "if (++beats_since_recover_ < 0) {"),
    Mistake("recover", "never", _POD, "  if (need_recover_) {\n    RecoverCall", "  if (false) {\n    RecoverCall"),
    Mistake("recover", "what is known is named without its fence", _STORE,
            "if (!without.contains({key, row.fence})) reply", "if (without.lower_bound({key, 0}) == without.end() || without.lower_bound({key, 0})->first != key) reply"),
    Mistake("recover", "the older holding stays when a job comes back", _POD, "  Drop(key);\n  Held& held = held_[key];",
            "  if (held_.contains(key)) return;\n  Held& held = held_[key];"),
    Mistake("recover", "asked for jobs whose release is under way", _POD,
            "call.known.insert(call.known.end(), leaving->begin(), leaving->end());", "(void)leaving;",
            spare="but for jobs that a program cannot read, which histories do not have, what is released without being held is no longer its own"),
    # --- begin
    Mistake("begin", "not awaited", _POD, _MARK,
            "      to_begin_.push_back({top.key, held.job.fence, p.fire_time, p.attempt});\n"),
    Mistake("begin", "in doubt, taken for yes", _POD,
            "        to_begin_.push_back(b);\n      } else {  // it",
            "        it->second.job.present.begun = it->second.marked_here = true;\n"
            "        it->second.phase = Phase::kReady;\n        ++ready_count_;\n"
            "        ready_.push({0, it->second.job.present.due_at, b.key, it->second.mark});\n      } else {  // it"),
    Mistake("begin", "no, taken for yes", _POD, "if (!(*reply)[i]) {", "if (false) {",
            spare="the store says no only to a session that was ended, whose deadline has passed: the executor starts nothing"),
    Mistake("begin", "by owner alone, without the fence", _STORE,
            "row->owner == session && row->fence == request.fence &&", "row->owner == session &&",
            spare="a pod gives no job up while it asks for a mark, so one session has one holding of the occurrence"),
    Mistake("begin", "without the fire time", _STORE,
            "row->present.fire_time == request.fire_time && row->present.attempt == request.attempt;",
            "row->present.attempt == request.attempt;"),
    Mistake("begin", "the mark is not kept", _STORE, "        row->present.begun = true;\n", ""),
    Mistake("begin", "the mark is set before the completion ahead of it is committed", _POD,
            "return it == held_.end() || it->second.uncommitted == 0;", "return it == held_.end() || b.key > 0;",
            spare="the store compares the fire time, refuses the mark, and the pod hands the job back: slower, not wrong"),
    Mistake("begin", "at most once, and run again after a death", _SETTLE,
            "if (job.delivery == Delivery::kAtMostOnce && present.begun) {",
            "if (job.delivery == Delivery::kAtMostOnce && present.begun && present.lost == 0) {"),
    # --- commit
    Mistake("commit", "checks only the id", _STORE, "row != nullptr && sessions.contains(session) && " + _OWNS,
            "row != nullptr;"),
    Mistake("commit", "without the owner", _STORE, "row->owner == session && row->fence == completion.fence;",
            "row->fence == completion.fence;"),
    Mistake("commit", "without the fence", _STORE, _OWNS, "row->owner == session;",
            spare="no session is used twice, so owner, fire time and attempt tell its holdings apart, and no completion of an occurrence is under way when it is given up; the model says the same of all its states"),
    Mistake("commit", "without the session's life", _STORE, "sessions.contains(session) && row->owner", "row->owner",
            spare="an ended session owns nothing, and never claims again: the comparison of the owner says it"),
    Mistake("commit", "without the fire time", _STORE, _SAME,
            "if (!owns || row->present.attempt != completion.attempt) {"),
    Mistake("commit", "without the attempt", _STORE, _SAME,
            "if (!owns || row->present.fire_time != completion.fire_time) {"),
    Mistake("commit", "by state and not by occurrence: a resend is applied twice", _STORE, _SAME, "if (!owns) {"),
    Mistake("commit", "a resend is answered as stale", _STORE,
            "const bool applied = WasApplied(session, completion);", "const bool applied = false;"),
    Mistake("commit", "in doubt, and sent again as a new one", _POD, _RESEND,
            "    for (Completion& c : committing_) {\n      const auto held = held_.find(c.key);\n"
            "      if (held == held_.end()) continue;\n      c.fire_time = held->second.job.present.fire_time;\n"
            "      c.attempt = held->second.job.present.attempt;\n    }\n" + _RESEND),
    Mistake("commit", "in doubt, and dropped", _POD, _RESEND, "    committing_.clear();\n    // The store is away"),
    Mistake("commit", "two completions of one job at once", _POD, "if (it->second.in_batch == batch_) {", "if (false) {"),
    Mistake("commit", "refused as stale, and the job is held on to", _POD,
            "      ++counters_.stale;\n      if (held_still) {", "      ++counters_.stale;\n      if (false) {"),
    Mistake("commit", "given up, and the pod keeps it", _POD,
            "      if (!answer.kept) {", "      if (!answer.kept && it->second.phase == Phase::kLeaving) {"),
    Mistake("commit", "a job that was given up stays its owner's", _STORE, "    if (!kept) row->owner.reset();\n", ""),
    Mistake("commit", "a mark to cancel outlives its attempt in the store", _STORE,
            "    row->present.to_plan = outdated;\n    row->cancel.reset();", "    row->present.to_plan = outdated;",
            spare="a mark names its attempt, and the pod compares"),
    Mistake("commit", "a mark to cancel counts for whatever runs", _POD,
            "  if (p.fire_time != mark.fire_time || p.attempt != mark.attempt) return;\n  if (held.phase", "  if (held.phase"),
    # --- release
    Mistake("release", "without the fence", _STORE, "row->owner != session || row->fence != fence) continue;",
            "row->owner != session) continue;"),
    Mistake("release", "without the owner", _STORE, "row->owner != session || row->fence != fence) continue;",
            "row->fence != fence) continue;",
            spare="a fence belongs to one holding: under it the row is its own or nobody's"),
    Mistake("release", "while it runs", _POD,
            "if (held.uncommitted > 0 || !lies) return;",
            "if (held.uncommitted > 0 || held.phase == Phase::kReleasing) return;"),
    Mistake("release", "while a completion is under way", _POD,
            "if (held.uncommitted > 0 || !lies) return;", "if (!lies) return;"),
    Mistake("release", "in doubt, and forgotten", _POD,
            "    to_release_.insert(to_release_.end(), releasing_.begin(), releasing_.end());\n    releasing_.clear();\n    return;",
            "    releasing_.clear();\n    return;"),
    Mistake("release", "the surplus is never given up", _POD,
            "surplus_ = others_under_share_ ? std::max(0.0, rate_ - fair) : 0;", "surplus_ = 0;"),
    Mistake("release", "what a user changed is not handed back", _POD,
            "      it->second.hand_back = true;\n      HandBack(it->second);\n    }\n  }\n  for", "    }\n  }\n  for",
            spare="what is held fires within the horizon, and its commit tells the same"),
    # --- sessions
    Mistake("sessions", "a renewal revives an ended session", _STORE, "    BeatReply reply;\n",
            "    BeatReply reply;\n    state_->sessions.try_emplace(request.session, Session{.ttl = Duration(5'000'000)});\n"),
    Mistake("sessions", "renewal without a look at the answer", _POD, "  if (!reply->live) {\n    warnings_",
            "  if (false) {\n    warnings_"),
    Mistake("sessions", "the deadline counts from the receipt", _POD,
            "  deadline_ = sent + options_.ttl;", "  deadline_ = now + options_.ttl;"),
    Mistake("sessions", "the pod starts after its deadline", _POD, "return session_ && now < deadline_ && life_",
            "return session_ && life_"),
    Mistake("sessions", "the executor starts after the deadline", _EXECUTOR, "if (Now() >= run.start_before || cancelled) {",
            "if (cancelled) {"),
    Mistake("sessions", "a new session takes over what the old one held", _POD, "  held_.clear();\n", ""),
    Mistake("sessions", "completions of an ended session are kept", _POD, "  outbox_.clear();\n  committing_.clear();\n", ""),
    Mistake("sessions", "answers to an older session count", _POD, "  return channel.epoch == epoch_;", "  return true;"),
    # --- reclaim
    Mistake("reclaim", "without comparing the beat", _STORE,
            "if (live != state_->sessions.end() && live->second.beat != beat) return ReclaimReply{};", ""),
    Mistake("reclaim", "of whoever beats", _POD,
            "if (gap || before == observed_.end() || before->second.beat != s.beat) {",
            "if (gap || before == observed_.end()) {"),
    Mistake("reclaim", "does not wait for the TTL", _POD, "if (sent - before->second.since >= s.ttl &&",
            "if (sent - before->second.since >= s.ttl / 2 &&"),
    Mistake("reclaim", "by the observer's TTL and not the session's", _POD,
            "if (sent - before->second.since >= s.ttl &&", "if (sent - before->second.since >= options_.ttl &&"),
    Mistake("reclaim", "looks again when its own TTL is over", _POD, "seen[s.id] = {s.beat, now, s.ttl};",
            "seen[s.id] = {s.beat, now, options_.ttl};",
            spare="that is only when it looks, a heartbeat later at most: it judges by the TTL that the answer names"),
    Mistake("reclaim", "judged by the receipt of the answer", _POD, "if (sent - before->second.since >= s.ttl &&",
            "if (now - before->second.since >= s.ttl &&",
            spare="reclaim compares the beat when it is done, which is later still"),
    Mistake("reclaim", "judged after an outage of one's own", _POD,
            "const bool gap = now - last_contact_ > 2 * options_.heartbeat;", "const bool gap = false;"),
    Mistake("reclaim", "leaves the session alive", _STORE, "const bool ended = state_->End(session);",
            "const bool ended = state_->sessions.contains(session);"),
    Mistake("reclaim", "under the old fence", _STORE, _HAND_BACK, _HAND_BACK.replace("      ++row.fence;\n", "")),
    Mistake("reclaim", "makes the time to look earlier", _STORE, _HAND_BACK,
            _HAND_BACK + "      row.present.due_at = std::min(row.present.due_at, clock());\n"),
    Mistake("reclaim", "makes the time to look later", _STORE, _HAND_BACK,
            _HAND_BACK + "      row.present.due_at = std::max(row.present.due_at, clock() + std::chrono::seconds(1));\n"),
    Mistake("reclaim", "the dead are not counted", _STORE, "row.present.lost += lost ? 1 : 0;", "(void)lost;"),
    Mistake("reclaim", "the dead are counted as attempts", _STORE, "row.present.lost += lost ? 1 : 0;",
            "row.present.attempt += lost ? 1 : 0;"),
    Mistake("reclaim", "a pod that leaves counts as dead", _STORE, "state_->HandBack(session, /*lost=*/false);",
            "state_->HandBack(session, /*lost=*/true);"),
    Mistake("reclaim", "never", _POD, "      to_reclaim_.push_back({s.id, s.beat});\n", ""),
    # --- time
    Mistake("time", "due by the pod's own clock", _CLOCK,
            "Instant At(BootTime t) const { return Instant(Slow(t) + Offset()); }",
            "Instant At(BootTime t) const { return Instant(t.time_since_epoch()) + std::chrono::hours(499'999); }"),
    Mistake("time", "the store's clock is asked once", _CLOCK, "    if (sent < set_back_) return;",
            "    if (known()) return;\n    if (sent < set_back_) return;"),
    Mistake("time", "no allowance for drift", _CLOCK,
            "Instant At(BootTime t) const { return Instant(Slow(t) + Offset()); }",
            "Instant At(BootTime t) const { return Instant(Slow(t) + Offset() + (t - since_) / kDriftParts); }"),
    Mistake("time", "a stamp counts from the sending", _CLOCK, "stamp.time_since_epoch() - Slow(received);",
            "stamp.time_since_epoch() - Slow(sent);"),
    Mistake("time", "a stamp from before a step counts after it", _CLOCK, "    if (sent < set_back_) return;", ""),
    Mistake("time", "a clock that was set back is not noticed", _CLOCK,
            "if (!known() || At(received) > stamp + under_way) {", "if (!known()) {"),
    Mistake("time", "ready stays ready when the clock is set back", _POD, "if (clock_.At(now) < p.due_at) {", "if (false) {"),
    Mistake("time", "a new session trusts the old estimate", _POD, "  clock_ = StoreClock();", "  "),
    # --- occurrences
    Mistake("occurrences", "the next fire time counts from now", _SETTLE,
            "settlement.next = PlanFrom(present.fire_time, NextAfterRun(job, present, now), failures);",
            "settlement.next = PlanFrom(present.fire_time, NextAfterRun(job, present, now), failures);\n"
            "  if (settlement.next.fire_time) {\n    settlement.next.fire_time = now + job.schedule.Spacing();\n"
            "    settlement.next.due_at = *settlement.next.fire_time;\n  }"),
    Mistake("occurrences", "the settled point is due again", _SETTLE,
            "return GridOf(job, present).Next(after);\n  after = std::max",
            "return GridOf(job, present).Next(after - Duration(1));\n  after = std::max"),
    Mistake("occurrences", "a failed attempt settles, and is tried again", _SETTLE, "    settlement.run->settles = 0;\n", ""),
    Mistake("occurrences", "attempts are not counted", _SETTLE, ".attempt = present.attempt + 1,",
            ".attempt = present.attempt,"),
    Mistake("occurrences", "one attempt too many", _SETTLE, "present.attempt < job.retry.max_attempts",
            "present.attempt <= job.retry.max_attempts"),
    Mistake("occurrences", "no end of dead pods", _SETTLE,
            "job.delivery == Delivery::kAtLeastOnce && present.lost >= job.lost_limit", "false"),
    Mistake("occurrences", "one dead pod too many", _SETTLE, "present.lost >= job.lost_limit",
            "present.lost > job.lost_limit"),
    Mistake("occurrences", "a started mark is not a start", _SETTLE, _STARTED,
            _STARTED.replace("present.begun || ", "")),
    Mistake("occurrences", "a failed attempt is not a start", _SETTLE, _STARTED, _STARTED.replace("present.attempt > 1 || ", "")),
    Mistake("occurrences", "a dead pod is not a start", _SETTLE, _STARTED, _STARTED.replace("present.lost > 0 || ", "")),
    Mistake("occurrences", "what is settled counts as started", _SETTLE, "return present.fire_time > present.cursor &&\n", "return\n"),
    Mistake("occurrences", "late: the newest point is skipped too", _SETTLE,
            "return std::max(first, grid.Last(late_before).value_or(first));", "return late_before;"),
    Mistake("occurrences", "late: one point too few is kept", _SETTLE,
            "if (grid.Count(middle, late_before) > job.late_limit) {",
            "if (grid.Count(middle, late_before) >= job.late_limit) {"),
    Mistake("occurrences", "late: before it is late", _SETTLE, "const Instant late_before = now - PlacedLater(present) - LateThreshold(job);",
            "const Instant late_before = now;"),
    Mistake("occurrences", "a skipped stretch counts one point too few", _SETTLE,
            ".settles = 1 + grid.Count(first + Duration(1), until),", ".settles = 1 + grid.Count(first + Duration(1), last),"),
    Mistake("occurrences", "a skipped stretch counts one point twice", _SETTLE,
            ".settles = 1 + grid.Count(first + Duration(1), until),", ".settles = 1 + grid.Count(first, until),"),
    Mistake("occurrences", "a skipped stretch is one point short", _SETTLE, "const Instant last = std::max(first, grid.Last(until).value_or(first));",
            "const Instant last = std::max(first, grid.Last(grid.Last(until).value_or(first)).value_or(first));"),
    Mistake("occurrences", "timers that no longer count fire", _POD,
            "it->second.mark != t.mark || it->second.phase != Phase::kWaiting", "it->second.phase != Phase::kWaiting",
            spare="the time is compared once more before the start, and a job that is ready is not made ready twice"),
    Mistake("occurrences", "ready entries that no longer count start", _POD,
            "it->second.mark == e.mark && it->second.phase == Phase::kReady", "it->second.phase == Phase::kReady"),
    # --- when an occurrence may start, and how long it may go on
    Mistake("times", "jitter and flex do not put off what a store planned", _POD,
            "  PutOff(held.job, held.job.present.fire_time, held.job.present.attempt, held.job.present.due_at);\n", ""),
    Mistake("times", "jitter and flex do not put off what a pod planned", _POD,
            "  if (c.next.fire_time) PutOff(held.job, *c.next.fire_time, c.next.attempt, c.next.due_at);\n", ""),
    Mistake("times", "a place in the window for each occurrence", _SETTLE, "static_cast<std::uint64_t>(key) * kGolden",
            "static_cast<std::uint64_t>(key + ToMicros(fire_time)) * kGolden"),
    Mistake("times", "jitter puts nothing off", _SETTLE, "Part(job.flex, static_cast<std::uint64_t>(key) * kGolden) +\n         Part(job.jitter, HashOf(job, fire_time, 0))",
            "Part(job.flex, static_cast<std::uint64_t>(key) * kGolden) +\n         0 * Part(job.jitter, HashOf(job, fire_time, 0))"),
    Mistake("times", "put off by twice the jitter", _SETTLE, "Part(job.jitter, HashOf(job, fire_time, 0))",
            "Part(2 * job.jitter, HashOf(job, fire_time, 0))"),
    Mistake("times", "a retry may start after the deadline", _SETTLE, "if (!deadline || due_at < *deadline) {", "if (true) {",
            spare="what waits past its deadline is settled before it starts: only the time of its verdict changes"),
    Mistake("times", "what was begun has no deadline", _SETTLE, "deadline && now >= *deadline && may_have_run", "false"),
    Mistake("times", "what was not begun has no deadline", _SETTLE,
            "std::max(late_until, expired_until), Verdict", "late_until, Verdict"),
    Mistake("times", "a replaced stretch takes the newest with it", _SETTLE,
            "GridOf(job, present).Last(now - PlacedLater(present) + Duration(1));",
            "GridOf(job, present).Next(now - PlacedLater(present));"),
    # --- jobs that run after others
    Mistake("followers", "none is triggered", _STORE, "if (completion.run && completion.ran) Follow(", "if (false) Follow("),
    Mistake("followers", "triggered by a resend, too", _STORE,
            "const bool applied = WasApplied(session, completion);",
            "const bool applied = WasApplied(session, completion);\n"
            "      if (applied && completion.run && completion.ran) Follow(completion.key, *completion.ran, *completion.run);"),
    Mistake("followers", "an attempt that is tried again triggers them", "src/job/followers.h",
            "if (settles == 0) return names;", "",
            spare="only what failed is tried again, and what is tried again has not failed for good: no list names it"),
    Mistake("followers", "what was cancelled does not end", "src/job/followers.h", "verdict == Verdict::kCancelled ||", ""),
    # --- runs that may overlap
    Mistake("overlap", "what is handed on is not run", _STORE, "      (void)AddChild(*follower, handed_on",
            "      if (!handed_on) (void)AddChild(*follower, handed_on"),
    Mistake("overlap", "what is handed on forgets its fire time", _STORE, "handed_on ? run.fire_time : clock()", "clock()"),
    Mistake("overlap", "what a removed job hands on is a namesake's", _STORE, "(handed_on && follower->key != key)", "false"),
    Mistake("overlap", "a pod that died had run what it was to hand on", _SETTLE,
            "job.overlap != Overlap::kAllow || present.attempt > 1 || present.begun", "true || present.begun"),
    Mistake("overlap", "a point of an older definition is handed on", "src/job/failures.h",
            "verdict >= Verdict::kSkippedMisfired;",
            "verdict >= Verdict::kSkippedMisfired && verdict != Verdict::kHandedOn;"),
    # --- users
    Mistake("users", "a change has no version", _STORE, "    ++row->present.version;\n", ""),
    Mistake("users", "a change applies to the run under way", _STORE,
            "const bool outdated = completion.version != row->present.version;", "const bool outdated = false;"),
    Mistake("users", "a unique key is taken from a job that is there", _STORE,
            "(taken->second.until > now || HoldsKey(taken->second.job_id, job.unique))", "taken->second.until > now"),
    Mistake("users", "a unique key's window ends with its job", _STORE,
            "(taken->second.until > now || HoldsKey(taken->second.job_id, job.unique))",
            "HoldsKey(taken->second.job_id, job.unique)"),
    Mistake("users", "a paused job gives its unique key up", _STORE,
            "row->state != JobState::kFinished && row->definition->unique == key",
            "row->state == JobState::kActive && row->definition->unique == key"),
    Mistake("users", "a finished job comes back to a unique key that is another's", _STORE,
            "if (IsHeld(definition, now)) return EnqueueOutcome::kHeld;",
            "if (row == nullptr && IsHeld(definition, now)) return EnqueueOutcome::kHeld;"),
    Mistake("users", "a change is not planned", _STORE, "    row->present.to_plan = true;\n", ""),
    Mistake("users", "a change is planned from the beginning", _STORE, "    row->present.planned_from = now;\n    if", "    if"),
    Mistake("users", "an outdated skip is applied", _STORE, _OUTDATED, "if (outdated && !completion.run) {"),
    Mistake("users", "an outdated plan is applied", _STORE, _OUTDATED,
            "if (outdated && !completion.run) {\n      row->present = Advance(row->present, completion.next);\n"
            "      row->present.to_plan = true;\n      row->owner.reset();\n"
            "      return {.outcome = CommitOutcome::kApplied, .kept = false, .error = {}};\n    }\n"
            "    if (outdated && WithoutRun(completion.run->verdict)) {"),
    Mistake("users", "an outdated run forgets the plan to make", _STORE, "    row->present.to_plan = outdated;\n", ""),
    Mistake("users", "an outdated run leaves the row at the old version's next point", _STORE,
            "      row->present.fire_time = completion.fire_time;\n", ""),
    Mistake("users", "an outdated run leaves the count of the dead", _STORE, "      row->present.lost = 0;\n", "",
            spare="the row is at its cursor, where no mark counts as a start, and the plan resets the count"),
    Mistake("users", "a job that changed is kept", _STORE, _KEPT, "completion.keep && more && row->state == JobState::kActive;"),
    Mistake("users", "a job that is paused or removed is kept", _STORE, _KEPT, "completion.keep && more && !outdated;"),
    Mistake("users", "a plan drops the attempt under way", _SETTLE, "if (present.to_plan && !WasStarted(present)) {",
            "if (present.to_plan) {"),
    Mistake("users", "the paused stretch is not settled", _STORE,
            "if (!row->owner) state_->SkipPaused(*row, state_->clock());", ""),
    Mistake("users", "the paused stretch is settled beside its owner", _STORE,
            "if (!row->owner) state_->SkipPaused(*row, state_->clock());", "state_->SkipPaused(*row, state_->clock());"),
    Mistake("users", "a removed job leaves no tombstone while it runs", _STORE,
            "return !owner && (state == JobState::kRemoved || (parent && state == JobState::kFinished)); }",
            "return state == JobState::kRemoved || (!owner && parent && state == JobState::kFinished); }"),
    Mistake("users", "a tombstone never ends", _STORE,
            "return !owner && (state == JobState::kRemoved || (parent && state == JobState::kFinished)); }",
            "return !owner && parent && state == JobState::kFinished; }"),
    Mistake("users", "a removed job that is over counts as finished", _STORE,
            "if (!more && !outdated && row->state != JobState::kRemoved)", "if (!more && !outdated)"),
    Mistake("users", "fences of an id begin again", _STORE, "return std::max(ToMicros(now) / 1000, greatest_fence + 1);",
            "return ToMicros(now) > 0 ? 1 : 0;"),
    Mistake("users", "a trigger settles a point of its parent", _STORE, "    Insert(*child, clock(), parent.key);\n",
            "    Insert(*child, clock(), parent.key);\n    Row& job = *Find(parent.key);\n"
            "    const Change change(*this, job);\n"
            "    if (const auto next = job.definition->schedule.AnchoredAt(job.present.created_at)"
            ".Next(job.present.fire_time)) {\n"
            "      job.present = Advance(job.present, {job.present.fire_time, next, *next, 1});\n    }\n"),
    Mistake("users", "a triggered run takes its job's place", _STORE, "if (!parent) keys[definition.id] = key;",
            "keys[definition.id] = key;"),
    # --- failures
    Mistake("failures", "however many, they pause nothing", _SETTLE, "job.pause_after > 0 && failures > present.failures",
            "job.pause_after < 0 && failures > present.failures"),
    Mistake("failures", "one too few pauses the job", _SETTLE, "failures >= job.pause_after &&", "failures + 1 >= job.pause_after &&"),
    Mistake("failures", "an attempt that is tried again counts", "src/job/failures.h", "return settles > 0 && (", "return settles >= 0 && ("),
    Mistake("failures", "what is lost leaves nothing behind", "src/job/failures.h", " || verdict == Verdict::kLost", ""),
    Mistake("failures", "a success does not end the row", "src/job/failures.h", "verdict == Verdict::kSucceeded ? 0 : before",
            "verdict == Verdict::kSkippedOverlapped ? 0 : before"),
    Mistake("failures", "a resumption does not begin anew", _STORE, "    row->present.failures = 0;\n", ""),
    Mistake("failures", "counted by a pod that knows of no resumption", _STORE, "    row->present.failures = failures;\n", ""),
    Mistake("failures", "a pod that knows of no resumption pauses", _STORE, " && failures >= completion.next.failures;", ";"),
    Mistake("failures", "the definition of before a change pauses", _STORE,
            "completion.next.pause && more && !outdated &&", "completion.next.pause && more &&"),
    Mistake("failures", "the pod keeps what it pauses", _POD, "!next.fire_time || next.pause ||", "!next.fire_time ||"),
    # --- queues
    Mistake("queues", "claims of one that rests", _STORE, "if (!state_->paused.Hold(QueueOf(queue))) queues.insert(queue);",
            "queues.insert(queue);"),
    Mistake("queues", "what waits of one that rests is kept", _POD, "  HandBackPaused();\n", ""),
    Mistake("queues", "everything does not rest", "include/escapement/paused.h", "return all || queues", "return queues"),
    Mistake("queues", "one that was resumed rests on", _POD, "  paused_ = reply->paused;\n",
            "  if (reply->paused.all || !reply->paused.queues.empty()) paused_ = reply->paused;\n"),
]

MISTAKES += [
    # --- limits
    Mistake("limits", "not asked for", _POD, "if (IsLimited(*held.job.definition) && !IsGranted(now, top.key)) {",
            "if (false) {"),
    Mistake("limits", "refused, taken for granted", _POD, "    if (answer.granted) {\n      queue.pause",
            "    if (reply) {\n      queue.pause"),
    Mistake("limits", "on an error the answer is yes", _POD, "    if (answer.granted) {\n      queue.pause",
            "    if (answer.granted || !reply) {\n      queue.pause"),
    Mistake("limits", "the lease is not renewed", _POD,
            "    if (grant.given_up || grant.request.limits.empty()) continue;\n", "    continue;\n"),
    Mistake("limits", "a run goes on though its lease was not renewed", _POD,
            "!grant.given_up && !grant.request.limits.empty() && now >= grant.until - SlotMargin()", "false"),
    Mistake("limits", "a run goes on though its slots are another's", _POD,
            "      StopForSlots(now, renewing[i]);\n", ""),
    Mistake("limits", "the lease counts from the answer", _POD,
            "      it->second.until = LeaseEnd(sent);", "      it->second.until = LeaseEnd(now) + std::chrono::seconds(3);"),
    Mistake("limits", "slots are freed when the run is told to stop", _POD,
            "  it->second.given_up = true;\n  next_slot_check_",
            "  it->second.given_up = true;\n  to_free_.emplace_back(it->second.request, it->second.until);\n  next_slot_check_"),
    Mistake("limits", "a dead session's tasks hold nothing", _POD,
            "  for (auto& [id, grant] : slots_) grant.given_up = true;  // held until the tasks end, or the leases\n",
            "  for (auto& [id, grant] : slots_) to_free_.emplace_back(grant.request, grant.until);\n  slots_.clear();\n"),
    Mistake("limits", "slots are freed by the lease alone", _POD, "    FreeAfter(now, f);\n", ""),
    Mistake("limits", "a grant whose answer was lost is asked for again, and not freed", _POD,
            "if (in_doubt || (answer.granted && !wanted))", "if (answer.granted && !wanted)",
            spare="the lease of what nobody uses ends by itself"),
    Mistake("limits", "a run starts however old its grant is", _POD,
            "  const BootTime start_before = std::min(deadline_, it->second.start_before);",
            "  const BootTime start_before = deadline_;"),
    Mistake("limits", "a rate's window is not longer by the way to the start", _POD,
            "rate.per += kStartDelay + kStartDelay / 1'000 + Duration(1);", "(void)rate;"),
    Mistake("limits", "a start that was none stays counted", _POD, "  if (finished.started) request.rates.clear();",
            "  request.rates.clear();", spare="fewer start than may"),
    Mistake("limits", "a start is counted no more when its run is over", _POD,
            "  if (finished.started) request.rates.clear();", ""),
    Mistake("limits", "refused, and never asked again", _POD, "    queue.jobs.push(asked.entry);\n", ""),
    Mistake("limits", "some slots without the others", "src/locks/memory/memory_locks.cc",
            "  if (!answer.granted) return answer;\n", ""),
    Mistake("limits", "one slot too many", "src/locks/memory/memory_locks.cc",
            "holders.size() >= static_cast<std::size_t>(limit.slots)", "holders.size() > static_cast<std::size_t>(limit.slots)"),
]

TABLE_HEAD = """# Planted bugs

Mistakes of the protocol, put into the code one at a time, and what found each: the simulation alone, without a unit
test. `./dev faults --list simulation --table` plants them all and writes this page; the list is
`tools/planted_protocol.py`. {found} of {wanted} were found, the last column says after how many seeds (from seed 1 on);
without any, no rule broke in the runs of proof-log.jsonl. Mistakes that tests must find, in the SQL, the Lua and the executors too, are
in `tools/planted_faults.py`.

Not in this list, because no history can show them: locks of names. In the simulation the lock service carries wake-ups,
slots and starts, since pods ask it for nothing else that a run depends on. Two leaders, or a lock that is taken for acquired
on an error, meet upkeep that any pod may do at any time; they have mistakes of their own in `tools/planted_faults.py`.
Nor are completions within a task's own transaction (PostgreSQL's), which no simulated task makes.
"""
