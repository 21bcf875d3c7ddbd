/* The protocol by which pods share a store: claim, begin, commit, beat, reclaim, recover.
 *
 * docs/protocol.md explains it, tools/check-model checks it. Two pods, two jobs of two occurrences each: job 0 runs at
 * least once, job 1 at most once. One pod crashes and starts again, one freezes past its lease, one reply is lost, one
 * attempt fails, and the lock service forgets all its leases: each at any moment, or never.
 *
 * A transition of the store is one atomic step. Its request and its reply travel separately: a request may be carried
 * out long after its sender died or was given up, and a reply may never arrive. As long as neither happens, nobody can
 * tell a request on its way from one that is not sent yet; so what is on its way is chosen when a pod freezes or dies
 * or its connection breaks, and otherwise request, transition and reply are one step.
 *
 * There is no clock: what the protocol needs of time is order. An observer judges a session by a beat that it saw
 * unchanged for a TTL. The deadline that a pod drew from this beat, or an older one, counts from its sending, so it is
 * over by then: to judge sets `over`, and only a beat that the store took after the judgement clears it. A pod that is
 * neither dead nor frozen beats within every TTL and is not judged; its beats would change nothing and are left out.
 *
 * A run takes no step of its own: a pod that dies during a run, or before it commits, leaves the same behind.
 *
 * Nothing goes on for ever: each history of the model ends, and must end with every occurrence settled. So it needs no
 * fairness to be live, only no cycles, which is checked too.
 *
 * `rule(NAME)` holds unless NAME is the rule that is taken away: model/knockouts lists what the model then finds. */

#define POINTS 2    /* occurrences of each job, at most 2 */

/* What is checked is chosen by the environment when the verifier starts: FAULTS holds the words crash, freeze, loss and
 * failure, each for one of the kind; SETTLED, how many occurrences of each job were settled before; WITHOUT, the number
 * of the rule that is taken away. */
#define CLAIM_IGNORES_OWNER             1
#define CLAIM_KEEPS_FENCE               2
#define CLAIM_BY_ENDED_SESSION          3
#define COMMIT_WITHOUT_OWNER            4
#define COMMIT_WITHOUT_FENCE            5
#define COMMIT_BY_ANYBODY               6  /* without owner, fence and a living session */
#define COMMIT_WITHOUT_FIRE_TIME        7
#define COMMIT_WITHOUT_ATTEMPT          8
#define COMMIT_BY_ENDED_SESSION         9
#define BEGIN_WITHOUT_FENCE            10
#define START_UNCONFIRMED              11
#define MARK_IGNORED                   12
#define NO_DEADLINE                    13
#define DEADLINE_FROM_REPLY            14
#define BEAT_REVIVES                   15
#define JUDGED_AT_FIRST_SIGHT          16
#define RECLAIM_IGNORES_BEAT           17
#define RECLAIM_KEEPS_FENCE            18
#define RECLAIM_LEAVES_SESSION         19
#define LEFTOVERS_LEFT                 20
#define NEVER_RECOVERED                21
#define RECOVERED_ONCE                 22
#define RECOVER_TELLS_ALL              23
#define OLD_REPLY_TAKEN                24
#define LEASE_IS_LIFE                  25
#define LEADER_TAKES_ALL               26
#define FENCES_STAND_STILL             27  /* neither a claim nor a reclaim raises them */
hidden byte without;
#define rule(name) (without != name)

#define at_most_once(j) (j == 1)

/* ---------------------------------------------------------------- the store */

typedef Row {
  unsigned owner : 3;         /* a session; 0: none */
  unsigned fence : 4;
  unsigned fire : 2;          /* the occurrence to settle, from 1; POINTS + 1: finished */
  unsigned attempt : 2;
  bit begun                   /* at most once: marked as started */
}
Row row[2];

#define SESSIONS 7            /* pod p opens p+1, and p+3 and p+5 when it joins anew */
bit live[SESSIONS];           /* opened and not ended */

/* ---------------------------------------------------------------- the pods */

#define NOT_HELD  0
#define WAITING   1           /* to be started */
#define BEGINNING 2           /* at most once: its mark was asked for */
#define BEGUN     3           /* its mark is confirmed */
#define LEAVING   4           /* its last completion gives the job up */

#define SUCCEEDED 1
#define FAILED    2           /* settles nothing: the next attempt does */
#define LOST      3
/* A completion is a number: what ended how, and whether the pod keeps the job. 0: none. */
#define completion(kind, fire, attempt, keep) (kind + 4 * (fire) + 16 * (attempt) + 64 * keep)
#define kind_of(c)    (c & 3)
#define fire_of(c)    ((c >> 2) & 3)
#define attempt_of(c) ((c >> 4) & 3)
#define keep_of(c)    (c >> 6)

typedef Held {
  unsigned phase : 3;
  unsigned fence : 4;
  unsigned fire : 2;
  unsigned attempt : 2;
  unsigned uncommitted : 2;   /* completions in the outbox: a kept job runs on before its commit is answered */
  unsigned first : 7;         /* of the outbox */
  unsigned second : 7;
  bit again                   /* the first was sent, and its answer lost */
}
Held held[4];                 /* by pod * 2 + job */
#define mine held[p * 2 + j]

typedef Pod {
  bit up;
  bit frozen;
  unsigned session : 3;
  bit over;                   /* the deadline drawn from its last confirmed beat has passed */
  bit in_doubt                /* the answer to a claim was lost */
}
Pod pod[2];
#define acts(p) (pod[p].up && !pod[p].frozen)

/* ---------------------------------------------------------------- on their way */

#define REQUEST 1             /* steps of a call; 0: there is none */
#define REPLY   2

#define CLAIM   1
#define RECOVER 2
typedef ClaimCall {
  unsigned step : 2; unsigned op : 2; unsigned session : 3; unsigned job : 1; unsigned fence : 4; unsigned fire : 2;
  unsigned attempt : 2; bit begun
}
ClaimCall claims[2];          /* by pod: one call at a time on each of its three connections */

#define BEGIN   1
#define COMMIT  2
#define NO      0             /* answers: stale; */
#define YES     1             /* applied, and the job given up; or: marked; */
#define KEPT    2             /* applied, and the job still the session's */
typedef CommitCall {
  unsigned step : 2; unsigned op : 2; unsigned session : 3; unsigned job : 1; unsigned fence : 4;
  unsigned what : 7; bit again; unsigned answer : 2
}
CommitCall commits[2];
CommitCall late;              /* its sender saw the connection break; the store may carry it out yet */
unsigned late_claim : 3;      /* a claim of the same fate: its session */
bit history_has_it;           /* the completion whose answer was lost was applied */

#define LIVE    2             /* answers to a beat, beside REQUEST */
#define OLD     3             /* live, but taken before the session was judged */
typedef BeatCall { unsigned step : 2; unsigned session : 3 }
BeatCall beats[2];

#define SAME_BEAT  1          /* a reclaim is on its way; the beat that it compares still is the session's */
#define OTHER_BEAT 2
#define LEFTOVERS  3          /* the session is ended: repeated until it owns nothing */
typedef Judged {
  bit silent;                 /* its beat may stand still for a TTL */
  unsigned reclaim : 2
}
Judged judged[SESSIONS];

bit forgotten;                /* the lock service lost its leases: two pods may lead, a living pod may seem dead */

bit crashes, freezes, losses, failures;   /* to come; a failure is that of an attempt */

/* ---------------------------------------------------------------- what must hold */

typedef Start { unsigned by : 3; unsigned attempt : 2 }
typedef Ghost {
  unsigned settled : 2;       /* occurrences */
  Start start[3]              /* by fire time, until it is settled: the session that started it last */
}
Ghost ghost[2];

/* Every occurrence once, in order, none left out. */
inline check_settled(which, point) {
  assert(point == ghost[which].settled + 1);
  ghost[which].settled++;
  ghost[which].start[point].by = 0;
  ghost[which].start[point].attempt = 0
}

#define start_of_mine ghost[j].start[mine.fire]
inline check_start(p, j) {
  assert(live[pod[p].session]);          /* nothing starts past its session's deadline, so not once it is ended */
  assert(mine.fire > ghost[j].settled);  /* nothing starts that is settled */
  assert(start_of_mine.attempt != mine.attempt ||              /* at most once: never twice; at least once: not while */
         (!at_most_once(j) && !live[start_of_mine.by]));       /* the pod that started it lives */
  start_of_mine.by = pod[p].session;
  start_of_mine.attempt = mine.attempt
}

/* No row is changed for an ended session. Where a rule is taken away, its harm must show without this. */
#define check_change(s) assert(live[s] || without != 0)

/* ---------------------------------------------------------------- transitions of the store */

#define unowned(j) (row[j].owner == 0)
#define leads(s) (s % 2 == 1 || forgotten)
#define free_for(j, s) (unowned(j) || !rule(CLAIM_IGNORES_OWNER) || \
                        !rule(LEADER_TAKES_ALL) && leads(s) && row[j].owner != s)
#define claimable(j, s) (free_for(j, s) && row[j].fire <= POINTS)

/* Of a fence that nobody remembers any more, only the order counts: the next is one more than the greatest that a pod
 * or a message holds. So the numbers stay small, and histories that differ in nothing else are one. */
#define up_to(f) if :: row[which].fence < f -> row[which].fence = f :: else fi
inline raise_fence(which) {
  row[which].fence = 0;
  up_to(held[which].fence);
  up_to(held[2 + which].fence);
  if :: claims[0].job == which -> up_to(claims[0].fence) :: else fi;
  if :: claims[1].job == which -> up_to(claims[1].fence) :: else fi;
  if :: commits[0].job == which -> up_to(commits[0].fence) :: else fi;
  if :: commits[1].job == which -> up_to(commits[1].fence) :: else fi;
  if :: late.job == which -> up_to(late.fence) :: else fi;
  row[which].fence++
}

inline take(which, who) {
  if
  :: !live[who] && rule(CLAIM_BY_ENDED_SESSION) -> skip
  :: else ->
    check_change(who);
    if :: rule(CLAIM_KEEPS_FENCE) && rule(FENCES_STAND_STILL) -> raise_fence(which) :: else fi;
    row[which].owner = who
  fi
}

#define session_lives(c) (live[c.session] || \
                          c.op == COMMIT && (!rule(COMMIT_BY_ENDED_SESSION) || !rule(COMMIT_BY_ANYBODY)))
#define owner_equal(c)   (row[c.job].owner == c.session || \
                          c.op == COMMIT && (!rule(COMMIT_WITHOUT_OWNER) || !rule(COMMIT_BY_ANYBODY)))
#define fence_equal(c)   (row[c.job].fence == c.fence || c.op == BEGIN && !rule(BEGIN_WITHOUT_FENCE) || \
                          c.op == COMMIT && (!rule(COMMIT_WITHOUT_FENCE) || !rule(COMMIT_BY_ANYBODY)))
#define fire_equal(c)    (row[c.job].fire == fire_of(c.what) || c.op == COMMIT && !rule(COMMIT_WITHOUT_FIRE_TIME))
#define attempt_equal(c) (row[c.job].attempt == attempt_of(c.what) || c.op == COMMIT && !rule(COMMIT_WITHOUT_ATTEMPT))
#define matches(c) (session_lives(c) && owner_equal(c) && fence_equal(c) && fire_equal(c) && attempt_equal(c))

/* begin and commit; `c` is a CommitCall. */
inline carry_out(c) {
  if
  :: matches(c) ->
    check_change(c.session);
    if
    :: c.op == BEGIN -> row[c.job].begun = 1; c.answer = YES
    :: else ->
      row[c.job].begun = 0;
      row[c.job].fire = fire_of(c.what);
      if
      :: kind_of(c.what) == FAILED -> row[c.job].attempt = attempt_of(c.what) + 1
      :: else -> check_settled(c.job, fire_of(c.what)); row[c.job].fire++; row[c.job].attempt = 1
      fi;
      if
      :: keep_of(c.what) -> c.answer = KEPT
      :: else -> c.answer = YES; row[c.job].owner = 0
      fi
    fi
  :: else ->
    if
    :: c.again && history_has_it ->
      c.answer = (row[c.job].owner == c.session && row[c.job].fence == c.fence -> KEPT : YES)
    :: else -> c.answer = NO
    fi
  fi
}

inline hand_back(who) {
  for (i : 0 .. 1) {
    if
    :: row[i].owner == who ->
      if :: rule(RECLAIM_KEEPS_FENCE) && rule(FENCES_STAND_STILL) -> raise_fence(i) :: else fi;
      row[i].owner = 0
    :: else
    fi
  }
}

inline end_session(who) {
  live[who] = 0;
  judged[who].silent = 0;
  for (i : 1 .. POINTS) {     /* what it started at least once may start again */
    if :: ghost[0].start[i].by == who -> ghost[0].start[i].by = 0; ghost[0].start[i].attempt = 0 :: else fi
  }
}

/* ---------------------------------------------------------------- what a pod does */

inline clear_claim(p) {
  claims[p].step = 0; claims[p].op = 0; claims[p].session = 0; claims[p].job = 0; claims[p].fence = 0;
  claims[p].fire = 0; claims[p].attempt = 0; claims[p].begun = 0
}

inline clear_commit(c) {
  c.step = 0; c.op = 0; c.session = 0; c.job = 0; c.fence = 0; c.what = 0; c.again = 0; c.answer = 0
}

inline clear_beat(p) { beats[p].step = 0; beats[p].session = 0 }

inline drop(p, j) {
  mine.phase = NOT_HELD; mine.fence = 0; mine.fire = 0; mine.attempt = 0; mine.uncommitted = 0; mine.first = 0;
  mine.second = 0; mine.again = 0
}

inline drop_all(p) {
  for (i : p * 2 .. p * 2 + 1) {
    held[i].phase = NOT_HELD; held[i].fence = 0; held[i].fire = 0; held[i].attempt = 0; held[i].uncommitted = 0;
    held[i].first = 0; held[i].second = 0; held[i].again = 0
  }
  pod[p].over = 0; pod[p].in_doubt = 0
}

/* Everything held belonged to the session that is no more. */
inline join_anew(p) {
  drop_all(p);
  if :: claims[p].step == REPLY && rule(OLD_REPLY_TAKEN) -> clear_claim(p) :: else fi;
  pod[p].session = pod[p].session + 2;
  live[pod[p].session] = 1
}

/* An attempt ended, with a job that is kept or given up: the first goes on to what is next. */
inline finish(p, j, how, keeps) {
  if
  :: mine.uncommitted == 0 -> mine.first = completion(how, mine.fire, mine.attempt, keeps)
  :: else -> mine.second = completion(how, mine.fire, mine.attempt, keeps)
  fi;
  mine.uncommitted++;
  if
  :: !keeps -> mine.phase = LEAVING; mine.fire = 0; mine.attempt = 0
  :: keeps && how == FAILED -> mine.phase = WAITING; mine.attempt++
  :: else -> mine.phase = WAITING; mine.fire++; mine.attempt = 1
  fi
}

/* What a claim took, or a recover found. */
inline read_row(p, j) {
  claims[p].step = REPLY; claims[p].job = j; claims[p].fence = row[j].fence; claims[p].fire = row[j].fire;
  claims[p].attempt = row[j].attempt; claims[p].begun = row[j].begun
}

inline hear_claim(p, j) {
  pod[p].in_doubt = 0;
  drop(p, j);                                      /* what is held under an older fence is void */
  mine.fence = claims[p].fence; mine.fire = claims[p].fire; mine.attempt = claims[p].attempt;
  mine.phase = WAITING;
  if
  :: claims[p].begun && rule(MARK_IGNORED) ->      /* its pod died after the mark: nobody knows whether it ran */
    finish(p, j, LOST, (mine.fire < POINTS))
  :: else
  fi;
  clear_claim(p)
}

#define unknown(p, j) (held[p * 2 + j].phase == NOT_HELD || held[p * 2 + j].fence != row[j].fence)
#define hears(p, s) (pod[p].up && pod[p].session == s)

inline ask(p, j, which_op) {
  commits[p].step = REQUEST; commits[p].op = which_op; commits[p].session = pod[p].session; commits[p].job = j;
  commits[p].fence = mine.fence;
  if
  :: which_op == BEGIN -> commits[p].what = completion(0, mine.fire, mine.attempt, 0); mine.phase = BEGINNING
  :: else -> commits[p].what = mine.first; commits[p].again = mine.again
  fi
}
#define begins(p, j) (at_most_once(j) && held[p * 2 + j].phase == WAITING && held[p * 2 + j].uncommitted == 0 && \
                      commits[p].step == 0)
#define commits_first(p, j) (held[p * 2 + j].uncommitted > 0 && commits[p].step == 0)

inline hear_commit(p, j) {
  if :: commits[p].again -> history_has_it = 0 :: else fi;
  if
  :: !hears(p, commits[p].session) || mine.phase == NOT_HELD || mine.fence != commits[p].fence -> skip
  :: else ->
    if
    :: commits[p].op == BEGIN && mine.phase != BEGINNING -> skip
    :: commits[p].op == BEGIN && mine.phase == BEGINNING && commits[p].answer == YES -> mine.phase = BEGUN
    :: commits[p].op == COMMIT && commits[p].answer == KEPT ->
      mine.uncommitted--; mine.again = 0; mine.first = mine.second; mine.second = 0
    :: else -> drop(p, j)
    fi
  fi
}

/* The connection broke: was it done? It is asked again. */
inline hear_nothing(p, j) {
  if
  :: mine.phase == NOT_HELD || mine.fence != commits[p].fence -> skip
  :: commits[p].op == COMMIT && mine.phase != NOT_HELD && mine.fence == commits[p].fence -> mine.again = 1
  :: commits[p].op == BEGIN && mine.phase == BEGINNING && mine.fence == commits[p].fence -> mine.phase = WAITING
  :: else
  fi
}

#define may_start(p) (acts(p) && (!pod[p].over || !rule(NO_DEADLINE)))

hidden byte i;
hidden byte how;
hidden byte keeps;
hidden byte fate;             /* of a request */
#define HEARD       0
#define UNHEARD     1         /* carried out, the answer lost */
#define STILL_TO_BE 2         /* the connection broke, but it arrives */

inline choose_fate(p) {
  if
  :: fate = HEARD
  :: losses > 0 && acts(p) -> losses--; fate = UNHEARD
  :: losses > 0 && acts(p) -> losses--; fate = STILL_TO_BE
  fi
}

/* ---------------------------------------------------------------- what happens */

/* Pod p and job j. */
proctype Job(byte p; byte j) {
end:
  do
  /* A run. The job is kept, or, by a pod with more than its share, given up. */
  :: atomic { may_start(p) &&
              (!at_most_once(j) && mine.phase == WAITING && mine.uncommitted < 2 || mine.phase == BEGUN) ->
      check_start(p, j);
      if
      :: how = SUCCEEDED
      :: failures > 0 && mine.attempt == 1 -> failures--; how = FAILED
      fi;
      if
      :: how == FAILED || mine.fire < POINTS -> keeps = 1
      :: keeps = 0
      fi;
      finish(p, j, how, keeps) }

  /* begin and commit: asked for now, or on the way since a fault. */
  :: atomic {
      if
      :: acts(p) && begins(p, j) ->
        ask(p, j, BEGIN);
        if :: !rule(START_UNCONFIRMED) -> mine.phase = BEGUN :: else fi
      :: acts(p) && commits_first(p, j) -> ask(p, j, COMMIT)
      :: commits[p].step == REQUEST && commits[p].job == j
      fi;
      choose_fate(p);
      if
      :: fate == HEARD -> carry_out(commits[p]); hear_commit(p, j)
      :: fate == UNHEARD ->
        carry_out(commits[p]); hear_nothing(p, j);
        history_has_it = (commits[p].op == COMMIT && commits[p].answer != NO)
      :: else ->
        hear_nothing(p, j);
        late.step = REQUEST; late.op = commits[p].op; late.session = commits[p].session; late.job = j;
        late.fence = commits[p].fence; late.what = commits[p].what
      fi;
      clear_commit(commits[p]) }

  /* claim: which of the claimable rows it takes is left open. */
  :: atomic {
      if
      :: acts(p) && claims[p].step == 0 && !pod[p].in_doubt && claimable(j, pod[p].session) &&
         (live[pod[p].session] || !rule(CLAIM_BY_ENDED_SESSION)) ->      /* else refused, until the pod beats */
        claims[p].op = CLAIM; claims[p].session = pod[p].session
      :: claims[p].step == REQUEST && claimable(j, claims[p].session)
      fi;
      choose_fate(p);
      if
      :: fate == STILL_TO_BE -> late_claim = claims[p].session
      :: else -> take(j, claims[p].session)
      fi;
      if
      :: fate == HEARD && hears(p, claims[p].session) && row[j].owner == claims[p].session ->
        read_row(p, j);
        if :: !pod[p].frozen -> hear_claim(p, j) :: else fi
      :: else ->
        if :: fate != HEARD && rule(NEVER_RECOVERED) -> pod[p].in_doubt = 1 :: else fi;
        clear_claim(p)
      fi }

  /* recover: after a claim in doubt, and every few heartbeats, what the pod does not know that it owns, or not under
   * this fence. It only reads: its sending and its reading may be one step; its answer takes its time. */
  :: d_step { acts(p) && claims[p].step == 0 && row[j].owner == pod[p].session && live[pod[p].session] &&
              (unknown(p, j) || !rule(RECOVER_TELLS_ALL)) &&
              (pod[p].in_doubt || rule(RECOVERED_ONCE)) && rule(NEVER_RECOVERED) ->
      claims[p].op = RECOVER; claims[p].session = pod[p].session;
      read_row(p, j) }
  :: d_step { acts(p) && claims[p].step == REPLY && claims[p].job == j -> hear_claim(p, j) }
  od
}

/* The beat is raised: nobody may judge by the one before. */
inline carry_out_beat(p) {
  if :: !rule(BEAT_REVIVES) -> live[beats[p].session] = 1 :: else fi;
  if
  :: live[beats[p].session] ->
    judged[beats[p].session].silent = !(hears(p, beats[p].session) && !pod[p].frozen);
    if
    :: judged[beats[p].session].reclaim == SAME_BEAT ->      /* will be refused, and is done with */
      judged[beats[p].session].reclaim = (rule(RECLAIM_IGNORES_BEAT) -> 0 : OTHER_BEAT)
    :: else
    fi;
    if :: hears(p, beats[p].session) -> beats[p].step = LIVE :: else -> clear_beat(p) fi
  :: else -> clear_beat(p)       /* ended; of one that was on its way: the next will tell the pod */
  fi
}

/* The session of pod p, its faults, and its late requests of no job. */
proctype Life(byte p) {
end:
  do
  :: d_step { acts(p) && beats[p].step == 0 &&
              (judged[pod[p].session].silent || pod[p].over || !live[pod[p].session]) ->
      beats[p].step = REQUEST; beats[p].session = pod[p].session;
      carry_out_beat(p);
      if
      :: beats[p].step == LIVE -> pod[p].over = 0
      :: beats[p].step == 0 && pod[p].session + 2 < SESSIONS -> join_anew(p)
      :: else
      fi;
      clear_beat(p) }
  :: d_step { beats[p].step == REQUEST -> carry_out_beat(p) }

  /* The answer to recover that nothing is unknown, and to a claim that nothing is due. */
  :: d_step { acts(p) && pod[p].in_doubt && claims[p].step == 0 &&
              (!live[pod[p].session] || !(row[0].owner == pod[p].session && unknown(p, 0)) &&
                                        !(row[1].owner == pod[p].session && unknown(p, 1))) ->
      pod[p].in_doubt = 0 }
  :: d_step { claims[p].step == REQUEST && !claimable(0, claims[p].session) && !claimable(1, claims[p].session) ->
      clear_claim(p) }

  /* SIGSTOP, or a machine that stands still; and death: of pod 0, since pods are alike. */
  :: atomic {
      if
      :: freezes > 0 && acts(p) -> freezes--; pod[p].frozen = 1
      :: p == 0 && crashes > 0 && pod[p].up -> crashes--; pod[p].up = 0
      fi;
      judged[pod[p].session].silent = live[pod[p].session];
      /* What is on its way: */
      if
      :: claims[p].step == 0 && !pod[p].in_doubt ->
        claims[p].step = REQUEST; claims[p].op = CLAIM; claims[p].session = pod[p].session
      :: claims[p].step != 0 || pod[p].in_doubt || !pod[p].up
      fi;
      if
      :: commits_first(p, 0) -> ask(p, 0, COMMIT)
      :: commits_first(p, 1) -> ask(p, 1, COMMIT)
      :: begins(p, 1) -> ask(p, 1, BEGIN)
      :: !commits_first(p, 0) && !commits_first(p, 1) && !begins(p, 1) || !pod[p].up
      fi;
      beats[p].step = (pod[p].up -> LIVE : REQUEST);
      beats[p].session = pod[p].session;
      if
      :: !pod[p].up ->
        drop_all(p);
        pod[p].frozen = 0;
        if :: claims[p].step == REPLY -> clear_claim(p) :: else fi
      :: else
      fi }
  /* The thaw. What waited is heard. What still is on its way is as if it was sent now. */
  :: d_step { pod[p].frozen ->
      pod[p].frozen = 0;
      if
      :: beats[p].step == LIVE || !rule(DEADLINE_FROM_REPLY) -> pod[p].over = 0
      :: else
      fi;
      clear_beat(p);
      if :: claims[p].step == REQUEST -> clear_claim(p) :: else fi;
      if
      :: commits[p].step == REQUEST ->
        if :: held[p * 2 + 1].phase == BEGINNING -> held[p * 2 + 1].phase = WAITING :: else fi;
        clear_commit(commits[p])
      :: else
      fi }
  :: d_step { !pod[p].up -> pod[p].up = 1; join_anew(p) }
  od
}

/* Session s, which pod p opened: others judge it, the store ends it. */
#define others_act(s) (acts(0) && pod[0].session != s || acts(1) && pod[1].session != s)
proctype Session(byte s; byte p) {
end:
  do
  /* The observer saw its beat unchanged for a TTL. */
  :: d_step { live[s] && judged[s].silent && judged[s].reclaim == 0 && others_act(s) ->
      if :: hears(p, s) -> pod[p].over = 1 :: else fi;
      if :: beats[p].session == s && beats[p].step == LIVE -> beats[p].step = OLD :: else fi;
      judged[s].reclaim = SAME_BEAT }
  :: d_step { live[s] && judged[s].reclaim == 0 && others_act(s) &&
              (!rule(JUDGED_AT_FIRST_SIGHT) || !rule(LEASE_IS_LIFE) && forgotten) ->
      judged[s].reclaim = SAME_BEAT }

  :: atomic { judged[s].reclaim == SAME_BEAT || judged[s].reclaim == OTHER_BEAT ->
      if :: rule(RECLAIM_LEAVES_SESSION) -> end_session(s) :: else fi;
      if
      :: hand_back(s); judged[s].reclaim = 0
      :: judged[s].reclaim = LEFTOVERS      /* rows that others have locked just now are skipped */
      fi }
  /* Repeated until the session owns nothing; should the observer have died meanwhile, by whoever does the upkeep. */
  :: d_step { judged[s].reclaim == LEFTOVERS && rule(LEFTOVERS_LEFT) -> hand_back(s); judged[s].reclaim = 0 }
  od
}

/* What was sent over a broken connection arrives. The lock service forgets. At the end all is judged. */
proctype World() {
end:
  do
  :: d_step { late.step == REQUEST ->
      carry_out(late);
      if :: late.op == COMMIT && late.answer != NO -> history_has_it = 1 :: else fi;
      clear_commit(late) }
  :: d_step { late_claim != 0 && claimable(0, late_claim) -> take(0, late_claim); late_claim = 0 }
  :: d_step { late_claim != 0 && claimable(1, late_claim) -> take(1, late_claim); late_claim = 0 }
  :: d_step { late_claim != 0 && !claimable(0, late_claim) && !claimable(1, late_claim) -> late_claim = 0 }
  /* No rule asks the lock service anything: its loss changes nothing, and would only double the states. */
  :: d_step { !forgotten && (!rule(LEASE_IS_LIFE) || !rule(LEADER_TAKES_ALL)) -> forgotten = 1 }
  :: timeout ->
    assert(ghost[0].settled == POINTS && ghost[1].settled == POINTS);
    assert(unowned(0) && unowned(1));
    break
  od
}

init {
  atomic {
    c_code {
      const char* rule = getenv("WITHOUT");
      const char* faults = getenv("FAULTS");
      const char* settled = getenv("SETTLED");
      without = rule ? atoi(rule) : 0;
      now.crashes = faults && strstr(faults, "crash");
      now.freezes = faults && strstr(faults, "freeze");
      now.losses = faults && strstr(faults, "loss");
      now.failures = faults && strstr(faults, "failure");
      now.ghost[0].settled = now.ghost[1].settled = settled ? atoi(settled) : 0;
    };
    row[0].fire = ghost[0].settled + 1; row[0].attempt = 1; row[1].fire = ghost[1].settled + 1; row[1].attempt = 1;
    pod[0].up = 1; pod[1].up = 1; pod[0].session = 1; pod[1].session = 2; live[1] = 1; live[2] = 1;
    run Job(0, 0); run Job(0, 1); run Job(1, 0); run Job(1, 1);
    run Life(0); run Life(1);
    run Session(1, 0); run Session(2, 1); run Session(3, 0); run Session(4, 1); run Session(5, 0); run Session(6, 1);
    run World()
  }
}
