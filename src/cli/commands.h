// The subcommands, by what they are about.
#pragma once

#include "cli/command.h"

namespace escapement {

void AddRunCommand(CommandLine& line);         // run
void AddJobCommands(CommandLine& line);        // add, list, show, runs
void AddControlCommands(CommandLine& line);    // pause, resume, paused, trigger, cancel, remove
void AddProgressCommand(CommandLine& line);    // progress
void AddDeadCommand(CommandLine& line);        // dead list, dead retry, dead discard
void AddScheduleCommands(CommandLine& line);   // next, describe, moves, why
void AddApplyCommand(CommandLine& line);       // apply
void AddAuditCommand(CommandLine& line);       // audit
void AddSimulateCommand(CommandLine& line);    // simulate
void AddStoreCommands(CommandLine& line);      // pods, migrate, doctor
void AddArchiveCommands(CommandLine& line);    // export, import
void AddProveCommand(CommandLine& line);       // prove
void AddCompletionCommand(CommandLine& line);  // completion

}  // namespace escapement
