// Definitions, archives, commands, and the decisions about rows that passed as sound.
#include "escapement/process.h"
#include "fuzz/target.h"
#include "job/archive_json.h"
#include "job/definition_json.h"
#include "job/settle.h"
#include "job/sound.h"

namespace escapement::fuzz {

FUZZ_TARGET(definition) {
  const auto read = DefinitionFromJson("job", input);
  if (!read) return RequireClear(read.error());
  Require(Validate(*read).has_value(), "what was read is valid");
  const auto again = DefinitionFromJson("job", DefinitionToJson(*read));
  Require(again && *again == *read, "a definition is read back as it was written");
}

FUZZ_TARGET(archive) {
  ArchiveReader reader;
  for (Parts lines(input); lines.More();) {
    const auto item = reader.Read(lines.Take());
    if (!item) {
      RequireClear(item.error());
      continue;  // as nobody does: for what stands in the next line
    }
    const std::string line = ArchiveLine(*item);
    Require(line.find('\n') == std::string::npos, "an item is one line");
    ArchiveReader other;
    if (!std::holds_alternative<ArchiveHeader>(*item)) {
      (void)other.Read(ArchiveLine(ArchiveHeader{}));
      if (std::holds_alternative<ArchiveEnd>(*item)) continue;  // it would have to count
    }
    const auto again = other.Read(line);
    if (!again) RequireClear(again.error());
    Require(again.has_value(), "an item can be read again");
    Require(ArchiveLine(*again) == line, "an item is read back as it was written");
  }
  if (const auto whole = reader.Finish(); !whole) RequireClear(whole.error());
}

FUZZ_TARGET(process_spec) {
  const auto read = ProcessSpecFromJson(input);
  if (!read) return RequireClear(read.error());
  Require(Validate(*read).has_value(), "what was read is valid");
  const auto again = ProcessSpecFromJson(ProcessSpecToJson(*read));
  Require(again && *again == *read, "a command is read back as it was written");
}

// The first line is a definition, then come the numbers of a row and of an outcome. Whatever passes CheckPresent must
// be decided without overflow, and each skipped stretch must settle something.
FUZZ_TARGET(settle) {
  Parts parts(input);
  const auto job = DefinitionFromJson("job", parts.Take());
  if (!job) return;
  Present present{.created_at = FromMicros(parts.Number()),
                  .cursor = FromMicros(parts.Number()),
                  .fire_time = FromMicros(parts.Number()),
                  .due_at = FromMicros(parts.Number()),
                  .attempt = static_cast<int>(parts.Number()),
                  .version = static_cast<int>(parts.Number()),
                  .lost = static_cast<int>(parts.Number()),
                  .planned_from = FromMicros(parts.Number())};
  present.begun = (parts.Byte() & 1) != 0;
  present.to_plan = (parts.Byte() & 1) != 0;
  Present clock;  // the store's time is one of the instants that are checked
  clock.created_at = FromMicros(parts.Number());
  if (const auto sound = CheckPresent(present); !sound) return RequireClear(sound.error());
  if (!CheckPresent(clock)) return;
  const Instant now = clock.created_at;
  if (const auto before = SettleBeforeStart(*job, present, now); before && before->run) {
    Require(before->run->settles >= 0, "nothing is settled less than never");
  }
  if (const auto skip = SkipStretch(*job, present, now, Verdict::kSkippedPaused)) {
    Require(skip->run && skip->run->settles > 0, "a stretch settles its points");
    Require(skip->next.cursor < now, "what is skipped has passed");
  }
  for (const Verdict verdict : {Verdict::kSucceeded, Verdict::kFailed, Verdict::kLost}) {
    const Settlement settled = Settle(*job, present, {.verdict = verdict}, now);
    Require(settled.next.attempt >= 1, "attempts are counted from 1");
    (void)Advance(present, settled.next);
  }
}

}  // namespace escapement::fuzz
