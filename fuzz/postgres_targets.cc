// Rows of PostgreSQL with NULLs and values of other types, as libpq would give them.
#include <libpq-fe.h>

#include <string>
#include <vector>

#include "fuzz/target.h"
#include "job/sound.h"
#include "stores/postgres/job_rows.h"

namespace escapement::fuzz {
namespace {

constexpr std::string_view kDefinition = R"({"schedule":"every 1s","task":"noop"})";

// Rows of as many columns, each given by a byte: 255 NULL, 254 a definition, else its length, and its bytes.
postgres::Rows MakeRows(Parts& parts, int columns) {
  PGresult* result = PQmakeEmptyPGresult(nullptr, PGRES_TUPLES_OK);
  std::string name = "column";
  std::vector<PGresAttDesc> attributes(static_cast<std::size_t>(columns));
  for (PGresAttDesc& attribute : attributes) {
    attribute = {};
    attribute.name = name.data();
    attribute.format = 1;
  }
  PQsetResultAttrs(result, columns, attributes.data());
  for (int row = 0; row < 3 && parts.More(); ++row) {
    for (int column = 0; column < columns; ++column) {
      const int length = parts.Byte();
      std::string value;
      if (length == 254) value = kDefinition;
      for (int i = 0; length < 254 && i < length; ++i) value += static_cast<char>(parts.Byte());
      PQsetvalue(result, row, column, value.data(), length == 255 ? -1 : static_cast<int>(value.size()));
    }
  }
  return postgres::Rows(result);
}

}  // namespace

FUZZ_TARGET(postgres_claimed) {
  Parts parts(input);
  const postgres::Rows rows = MakeRows(parts, 15);
  const ClaimReply reply = postgres::ReadClaimed(rows);
  for (const ClaimedJob& job : reply.jobs) {
    if (job.definition == nullptr) {
      RequireClear({Code::kInternal, job.unreadable});
    } else {
      Require(Validate(*job.definition).has_value(), "what is run is valid");
      Require(CheckPresent(job.present).has_value(), "what is run is sound");
    }
  }
}

FUZZ_TARGET(postgres_jobs) {
  Parts parts(input);
  const postgres::Rows rows = MakeRows(parts, 11);
  const auto jobs = postgres::ReadJobs(rows);
  Require(static_cast<int>(jobs.size()) == rows.size(), "every row is a job");
  for (const JobInfo& job : jobs) {
    if (!job.unreadable.empty()) RequireClear({Code::kInternal, job.unreadable});
  }
}

FUZZ_TARGET(postgres_runs) {
  Parts parts(input);
  const postgres::Rows rows = MakeRows(parts, 13);
  const auto runs = postgres::ReadRuns(rows);
  if (!runs) return RequireClear(runs.error());
  Require(static_cast<int>(runs->size()) == rows.size(), "every row is a run");
}

}  // namespace escapement::fuzz
