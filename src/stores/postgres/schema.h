// The schema's migrations: numbered, append-only, embedded in the program.
#pragma once

#include "escapement/status.h"
#include "stores/postgres/connection.h"

namespace escapement::postgres {

// The version this program needs.
int SchemaVersion();

// Brings the schema up to `to` (tests stop early); harmless when another process does the same: an advisory lock puts
// them in a row. kConflict when the schema is newer than this program.
Status Migrate(Connection& connection, int to = SchemaVersion());

// kConflict, saying what to do, when the schema is absent, older or newer.
Status CheckSchema(Connection& connection);

}  // namespace escapement::postgres
