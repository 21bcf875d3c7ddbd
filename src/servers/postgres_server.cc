#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <fstream>

#include <fmt/format.h>
#include <libpq-fe.h>

#include "servers/private_server.h"

namespace escapement {
namespace {

constexpr char kSystemUser[] = "postgres";
constexpr char kDatabaseUser[] = "escapement";

// What a production server would be given on a small machine.
constexpr char kSettings[] = R"(
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
shared_buffers = 256MB
max_wal_size = 4GB
checkpoint_timeout = 15min
wal_buffers = 16MB
max_connections = 200
update_process_title = off
logging_collector = off
)";

struct Programs {
  std::string initdb;
  std::string postgres;
};

Result<Programs> FindPrograms() {
  // Debian keeps every version in a directory of its own, out of PATH.
  int newest = 0;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator("/usr/lib/postgresql", error)) {
    const std::string name = entry.path().filename();
    int version = 0;
    std::from_chars(name.data(), name.data() + name.size(), version);
    if (version > newest && access((entry.path() / "bin/initdb").c_str(), X_OK) == 0 &&
        access((entry.path() / "bin/postgres").c_str(), X_OK) == 0)
      newest = version;
  }
  if (newest > 0) {
    const std::string folder = fmt::format("/usr/lib/postgresql/{}/bin", newest);
    return Programs{.initdb = folder + "/initdb", .postgres = folder + "/postgres"};
  }
  auto initdb = FindProgram("initdb");
  auto postgres = FindProgram("postgres");
  if (!initdb || !postgres)
    return Fail(Code::kNotFound,
                "PostgreSQL's server programs (initdb, postgres) are neither below /usr/lib/postgresql nor in PATH: "
                "install the package postgresql");
  return Programs{.initdb = *initdb, .postgres = *postgres};
}

class PostgresServer final : public LocalServer {
 public:
  explicit PostgresServer(const PrivateServerOptions& options, Programs programs)
      : LocalServer({.name = "postgres",
                     .user = geteuid() == 0 ? kSystemUser : "",  // PostgreSQL refuses to run as root
                     .stop_signal = SIGINT,                      // fast shutdown
                     .abort_signal = SIGQUIT},                   // immediate shutdown: frees its shared memory
                    options),
        programs_(std::move(programs)),
        durable_(options.durable) {}

  std::string url() const override {
    return fmt::format("postgresql://{}:{}@{}:{}/{}", user(), password(), host(), port(), database());
  }
  std::string user() const override { return kDatabaseUser; }
  std::string database() const override { return "postgres"; }

  Status Prepare() {
    if (auto status = MakeDirectory(); !status) return status;
    if (auto status = InitDb(); !status) return status;
    std::ofstream file(DataDirectory() + "/postgresql.conf", std::ios::app);
    file << kSettings;
    if (!durable_) file << "fsync = off\n";
    for (const std::string& setting : settings()) file << setting << '\n';
    file.close();
    if (!file) return Fail(Code::kUnavailable, fmt::format("cannot write to {}", DataDirectory()));
    return StartOnAFreePort();
  }

 private:
  std::string DataDirectory() const { return directory() + "/data"; }

  Status InitDb() {
    const std::string secret = directory() + "/password";
    const auto fd = open(secret.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    struct stat folder{};
    const std::string line = password() + "\n";
    // The directory belongs to whoever will run initdb.
    const bool written = fd >= 0 && stat(directory().c_str(), &folder) == 0 &&
                         fchown(fd, folder.st_uid, folder.st_gid) == 0 &&
                         write(fd, line.data(), line.size()) == static_cast<ssize_t>(line.size());
    const int error = errno;
    if (fd >= 0) close(fd);
    Status status;
    if (written) {
      status = RunInitDb(secret);
    } else {
      status = Fail(Code::kUnavailable, fmt::format("cannot write {}: {}", secret, std::strerror(error)));
    }
    unlink(secret.c_str());
    return status;
  }

  Status RunInitDb(const std::string& password_file) {
    ProcessOptions options;
    options.argv = {programs_.initdb,
                    "--pgdata=" + DataDirectory(),
                    std::string("--username=") + kDatabaseUser,
                    "--auth=scram-sha-256",
                    "--pwfile=" + password_file,
                    "--encoding=UTF8",
                    "--locale=C",
                    "--no-sync",  // files of a server that nobody has written to need not survive a crash
                    "--no-instructions"};
    options.output_file = directory() + "/server.log";
    options.user = traits().user;
    auto process = ChildProcess::Start(options);
    if (!process) return FailIn("initdb", process.error());
    const auto status = (*process)->Wait(std::chrono::seconds(120));
    if (!status) return Fail(Code::kTimeout, "initdb did not end within 120 s");
    if (*status != 0) return Fail(Code::kUnavailable, fmt::format("initdb ended with {}: {}", *status, LogTail()));
    return {};
  }

  ProcessOptions Command() const override {
    ProcessOptions options;
    options.argv = {programs_.postgres, "-D", DataDirectory(), "-p", fmt::format("{}", port())};
    return options;
  }

  bool Answers() const override {
    const std::string text = fmt::format("{}", port());
    const std::string address = host();
    const std::string secret = password();
    const char* const names[] = {"host", "port", "user", "password", "dbname", "connect_timeout", "sslmode", nullptr};
    const char* const values[] = {address.c_str(), text.c_str(), kDatabaseUser, secret.c_str(),
                                  "postgres",      "2",          "disable",     nullptr};
    PGconn* const connection = PQconnectdbParams(names, values, 0);
    const bool answers = PQstatus(connection) == CONNECTION_OK;
    PQfinish(connection);
    return answers;
  }

  const Programs programs_;
  const bool durable_;
};

}  // namespace

Result<std::unique_ptr<PrivateServer>> PrivateServer::Postgres(const PrivateServerOptions& options) {
  auto programs = FindPrograms();
  if (!programs) return tl::unexpected(programs.error());
  auto server = std::make_unique<PostgresServer>(options, std::move(*programs));
  if (auto status = server->Prepare(); !status) return tl::unexpected(status.error());
  return server;
}

}  // namespace escapement
