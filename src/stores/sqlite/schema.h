// The schema's migrations: numbered, append-only, embedded in the program.
#pragma once

#include "escapement/status.h"
#include "sqlite/database.h"

namespace escapement::sqlite {

// The version this program needs.
int SchemaVersion();

// Brings the schema up to `to` (tests stop early); harmless when another process does the same: one waits for the
// other. kConflict when the schema is newer than this program.
Status Migrate(Database& database, int to = SchemaVersion());

// kConflict, saying what to do, when the schema is absent, older or newer.
Status CheckSchema(Database& database);

}  // namespace escapement::sqlite
