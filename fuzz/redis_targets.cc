// What a Redis server answers: broken, hostile, or of another version.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>
#include <stdexcept>
#include <string>
#include <thread>

#include <fmt/format.h>

#include "fuzz/target.h"
#include "job/sound.h"
#include "redis/redis_replies.h"
#include "stores/redis/records.h"
#include "stores/redis/redis_store.h"

namespace escapement::fuzz {
namespace {

using redis_store::Fields;
using Kind = RedisReply::Kind;

// As the protocol writes it.
std::string Encoded(const RedisReply& reply) {
  switch (reply.kind) {
    case Kind::kNil: return "$-1\r\n";
    case Kind::kInteger: return fmt::format(":{}\r\n", reply.integer);
    case Kind::kText: return fmt::format("${}\r\n{}\r\n", reply.text.size(), reply.text);
    case Kind::kError: return fmt::format("-{}\r\n", reply.text);
    case Kind::kArray: break;
  }
  std::string all = fmt::format("*{}\r\n", reply.elements.size());
  for (const RedisReply& element : reply.elements) all += Encoded(element);
  return all;
}

// The replies that `bytes` hold, until it is no more Redis's protocol.
std::vector<RedisReply> RepliesIn(std::string_view bytes) {
  // The parser allocates what an array announces: memory that is never touched, but the sanitizers touch it.
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    if (bytes[i] == '*' && bytes.substr(i + 1).find_first_not_of("0123456789") > 6) return {};
  }
  RedisReplies reader;
  std::vector<RedisReply> replies;
  const std::size_t half = bytes.size() / 2;  // a reply may come in two parts
  for (const std::string_view part : {bytes.substr(0, half), bytes.substr(half)}) {
    reader.Feed(part);
    for (;;) {
      auto next = reader.Next();
      if (!next) {
        RequireClear(next.error());
        return replies;
      }
      if (!*next) break;
      replies.push_back(**std::move(next));
    }
  }
  return replies;
}

// Answers each command with the next of some replies, and closes the connection when there is none. What a store asks
// before anything else is answered as a good server would.
class FakeServer {
 public:
  FakeServer() : listener_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    auto* generic = reinterpret_cast<sockaddr*>(&address);
    if (listener_ < 0 || bind(listener_, generic, size) != 0 || listen(listener_, 8) != 0 ||
        getsockname(listener_, generic, &size) != 0) {
      throw std::runtime_error("no port to listen on");
    }
    port_ = ntohs(address.sin_port);
  }
  std::string url() const { return fmt::format("redis://127.0.0.1:{}/0", port_); }

  // One connection, until the client has closed it.
  void Serve(const std::vector<RedisReply>& replies) const {
    const int client = accept(listener_, nullptr, nullptr);
    const linger at_once{.l_onoff = 1, .l_linger = 0};  // thousands of connections a second leave no trace
    setsockopt(client, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    RedisReplies commands;  // they look like replies
    std::size_t next = 0;
    char buffer[16'384];
    for (bool open = true; open;) {
      const ssize_t got = recv(client, buffer, sizeof buffer, 0);
      if (got <= 0) break;
      commands.Feed({buffer, static_cast<std::size_t>(got)});
      std::string answer;
      for (auto command = commands.Next(); open && command && *command; command = commands.Next()) {
        const std::string& word = (*command)->elements.at(0).text;
        if (word == "SELECT") {
          answer += "+OK\r\n";
        } else if (word == "INFO") {
          answer += "$17\r\ncluster_enabled:0\r\n";
        } else if (word == "HMGET") {
          answer += "*3\r\n$1\r\n1\r\n$1\r\n1\r\n$4\r\n1000\r\n";
        } else if (word == "SCRIPT") {
          answer += "$6\r\ndigest\r\n";
        } else if (next < replies.size()) {
          answer += Encoded(replies[next++]);
        } else {
          open = false;
        }
      }
      if (send(client, answer.data(), answer.size(), MSG_NOSIGNAL) < 0) break;
    }
    close(client);
  }

 private:
  const int listener_;
  int port_ = 0;
};

void RequireSound(const Result<ClaimReply>& reply) {
  if (!reply) return RequireClear(reply.error());
  for (const ClaimedJob& job : reply->jobs) {
    if (job.definition == nullptr) {
      RequireClear({Code::kInternal, job.unreadable});
    } else {
      Require(CheckPresent(job.present).has_value(), "what is run is sound");
    }
  }
}

template <typename T>
void Answered(const Result<T>& result) {
  if (!result) RequireClear(result.error());
}

// One question of the store, chosen by the input.
void Ask(JobStore& store, unsigned char which) {
  const Instant from = FromMicros(0);
  const Instant to = FromMicros(4'000'000'000'000'000);
  switch (which % 16) {
    case 0:
      return RequireSound(store.Claim({.session = 1, .horizon = Duration(1), .limit = 10, .queues = {"default"}}));
    case 1: return RequireSound(store.Recover(1, {}));
    case 2: return Answered(store.Beat({.session = 1}));
    case 3: return Answered(store.Get("job"));
    case 4: return Answered(store.List({}));
    case 5: return Answered(store.Runs({.job_id = "job"}));
    case 6: return Answered(store.AuditWindow("", from, to));
    case 7: return Answered(store.ExportJobs("", 10));
    case 8: return Answered(store.ExportRuns({"job"}, std::nullopt, 10));
    case 9: return Answered(store.Stats());
    case 10: return Answered(store.Pods());
    case 11: return Answered(store.Now());
    case 12: return Answered(store.Resume("job"));
    case 13: return Answered(store.OpenSession({.pod = "pod", .ttl = Duration(1)}));
    case 14: return Answered(store.Trigger("job", std::nullopt));
    default: {
      Completion done{.key = 1, .run = RunRecord{}, .next = {}};
      return Answered(store.Commit(1, {done, done}));
    }
  }
}

}  // namespace

FUZZ_TARGET(redis_replies) {
  const auto replies = RepliesIn(input);
  std::string again;
  for (const RedisReply& reply : replies) {
    // An error reply is a line, whatever bytes stand in it; the others are read back as they were written.
    if (reply.kind == Kind::kError) RequireClear(RedisErrorOf("server", reply.text));
    again += Encoded(reply);
  }
  Require(RepliesIn(again).size() == replies.size(), "replies are read back as they were written");
}

// Elements of one reply, one on each line.
FUZZ_TARGET(redis_rows) {
  RedisReply reply{.kind = Kind::kArray, .integer = 0, .text = {}, .elements = {}};
  for (Parts lines(input); lines.More();) {
    RedisReply element{.kind = Kind::kText, .integer = 0, .text = std::string(lines.Take()), .elements = {}};
    for (char& c : element.text) c = c == '\r' ? '\n' : c;  // so that an element may have lines
    reply.elements.push_back(std::move(element));
  }
  Fields fields(reply);
  while (fields.More()) {
    const auto row = redis_store::ReadJobRow(fields);
    if (!row) return RequireClear(row.error());
    (void)redis_store::InfoOf(*row);
    const ArchivedJob job = redis_store::ArchiveOf(*row);
    if (!job.unreadable.empty()) {
      RequireClear({Code::kInternal, job.unreadable});
      continue;
    }
    Require(CheckPresent(job.present).has_value(), "what is given out is sound");
    const auto texts = redis_store::WriteReigns(row->reigns);
    Require(!texts.open.empty(), "one version reigns still");
  }
}

FUZZ_TARGET(redis_history) {
  const auto line = redis_store::ReadHistoryLine("job", input);
  if (!line) return RequireClear(line.error());
  const RunInfo& run = line->run;
  std::string again = fmt::format("{}", ToMicros(run.settled_at));
  for (const std::string& part :
       {run.pod, line->parent ? fmt::format("{}", *line->parent) : std::string(), fmt::format("{}", line->key),
        redis_store::MarkAfterKey(0, 0, run.fire_time, run.attempt, run.verdict), redis_store::RestOfRun(run)}) {
    again += '\0' + part;
  }
  const auto read = redis_store::ReadHistoryLine("job", again);
  Require(read.has_value(), "a line of history can be read again");
  Require(read->run.fire_time == run.fire_time && read->run.settles == run.settles && read->run.pod == run.pod,
          "a line of history is read back as it was written");
}

// The first byte chooses a question, what follows are the replies to its commands.
FUZZ_TARGET(redis_store) {
  static const FakeServer server;
  Parts parts(input);
  const unsigned char which = parts.Byte();
  auto replies = RepliesIn(parts.Rest());
  std::erase_if(replies, [](const RedisReply& reply) {
    // These send the store to other servers: real ones.
    return reply.kind == Kind::kError && (reply.text.starts_with("MOVED") || reply.text.starts_with("ASK"));
  });
  auto factory = RedisStoreFactory::Create(server.url());
  Require(factory.has_value(), "the server's own URL is good");
  const std::jthread serving([&] { server.Serve(replies); });
  auto store = (*factory)->Open();
  Require(store.has_value(), "the server answers");
  Ask(**store, which);
}

}  // namespace escapement::fuzz
