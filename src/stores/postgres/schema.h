// The schema's migrations: numbered, append-only, embedded in the program.
#pragma once

#include "escapement/status.h"
#include "postgres/connection.h"

namespace escapement::postgres {

// The version this program needs.
int SchemaVersion();

// Brings the schema up to `to` (tests stop early); harmless when another process does the same: an advisory lock puts
// them in a row. Leaves a newer schema alone if this program can work on it; kConflict if it cannot.
Status Migrate(Connection& connection, int to = SchemaVersion());

// kConflict, saying what to do, when the schema is absent, older than `program` needs, or so new that it says that
// `program` cannot work on it.
Status CheckSchema(Connection& connection, int program = SchemaVersion());

}  // namespace escapement::postgres
