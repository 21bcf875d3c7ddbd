#include "redis/redis_wire.h"

#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>

#include <fmt/format.h>

#include "time/quoted.h"

namespace escapement {
namespace {

std::string_view FirstWord(std::string_view text) { return text.substr(0, text.find(' ')); }

}  // namespace

Error RedisErrorOf(std::string_view where, const std::string& reply) {
  const std::string_view word = FirstWord(reply);
  const auto is_one_of = [word](auto... words) { return ((word == words) || ...); };
  Error error{Code::kInternal, fmt::format("{}: {}", where, Quoted(reply, 500))};
  if (is_one_of("WRONGPASS", "NOAUTH", "NOPERM")) error.code = Code::kInvalidArgument;
  if (is_one_of("LOADING", "READONLY", "MASTERDOWN", "CLUSTERDOWN", "OOM", "MISCONF", "BUSY", "NOREPLICAS", "TRYAGAIN"))
    error.code = Code::kUnavailable;
  return error;
}

RedisWire::RedisWire(std::string where, int wake_fd) : where_(std::move(where)), wake_fd_(wake_fd) {}

RedisWire::~RedisWire() {
  if (fd_ >= 0) close(fd_);
}

Result<std::unique_ptr<RedisWire>> RedisWire::Open(const RedisUrl& url, BootTime deadline, int wake_fd) {
  if (url.sentinels.empty()) return OpenServer(url, /*sentinel=*/false, deadline, wake_fd);
  auto master = AskSentinels(url, deadline, wake_fd);
  if (!master) return tl::unexpected(master.error());
  auto wire = OpenServer(*master, /*sentinel=*/false, deadline, wake_fd);
  if (!wire) return wire;
  // During a failover a sentinel may still name the old master.
  auto role = (*wire)->Ask({"ROLE"}, deadline);
  if (!role) return Fail(Code::kUnavailable, role.error().message);
  if (role->elements.empty() || role->elements[0].text != "master") {
    return Fail(Code::kUnavailable, fmt::format("{}: {} is no master now", url.Name(), master->Name()));
  }
  return wire;
}

Result<RedisUrl> RedisWire::AskSentinels(const RedisUrl& url, BootTime deadline, int wake_fd) {
  Error last{Code::kUnavailable, ""};
  std::size_t left = url.sentinels.size();
  for (const RedisAddress& address : url.sentinels) {
    // Those that do not answer leave time for the others.
    const BootTime now = BootClock::now();
    const BootTime until = now + (deadline - now) / static_cast<int>(left + 1);
    --left;
    RedisUrl sentinel = url;
    sentinel.host = address.host;
    sentinel.port = address.port;
    sentinel.user = url.sentinel_user;
    sentinel.password = url.sentinel_password;
    sentinel.sentinels.clear();
    auto wire = OpenServer(sentinel, /*sentinel=*/true, until, wake_fd);
    if (!wire) {
      last = wire.error();
      continue;
    }
    auto reply = (*wire)->Ask({"SENTINEL", "get-master-addr-by-name", url.master}, until);
    if (!reply) {
      last = reply.error();
    } else if (reply->kind == RedisReply::Kind::kError) {
      last = RedisErrorOf(sentinel.Name(), reply->text);
    } else if (reply->elements.size() != 2) {
      last = {Code::kInvalidArgument, fmt::format("{}: it knows no master '{}'", sentinel.Name(), url.master)};
    } else {
      RedisUrl master = url;
      master.sentinels.clear();
      master.host = reply->elements[0].text;
      master.port = std::atoi(reply->elements[1].text.c_str());
      return master;
    }
  }
  if (last.code != Code::kInvalidArgument) last.code = Code::kUnavailable;
  return tl::unexpected(
      Error{last.code, fmt::format("{}: no sentinel names the master: {}", url.Name(), last.message)});
}

Result<std::unique_ptr<RedisWire>> RedisWire::OpenServer(const RedisUrl& url, bool sentinel, BootTime deadline,
                                                         int wake_fd) {
  std::unique_ptr<RedisWire> wire(new RedisWire(url.Name(), wake_fd));
  if (auto status = wire->Connect(url, deadline); !status) return tl::unexpected(status.error());
  Status status = url.tls ? wire->Secure(url, deadline) : Status();
  if (status) status = wire->Authenticate(url, deadline);
  if (status && !sentinel) status = wire->Select(url.database, deadline);
  if (status) return wire;
  Error error = status.error();
  // Nothing but the connection itself was asked for: no reply means that there is no connection.
  if (error.code == Code::kInDoubt) error.code = Code::kUnavailable;
  if (error.code == Code::kTimeout && BootClock::now() >= deadline) error.code = Code::kUnavailable;
  return tl::unexpected(std::move(error));
}

Result<RedisReply> RedisWire::Ask(const RedisArguments& command, BootTime deadline) {
  if (auto sent = Send(command, deadline); !sent) return tl::unexpected(sent.error());
  return Receive(deadline);
}

Status RedisWire::Secure(const RedisUrl& url, BootTime deadline) {
  auto tls = Tls::Create(url.tls_settings, url.host);
  if (!tls) return FailIn(where_, tls.error());
  for (;;) {
    auto done = (*tls)->Handshake();
    // An alert that says why is sent too.
    if (auto sent = SendBytes((*tls)->TakeOutgoing(), deadline); !sent) return sent;
    if (!done) return FailIn(where_, done.error());
    if (*done) break;
    auto bytes = ReceiveBytes(deadline);
    if (!bytes) return tl::unexpected(bytes.error());
    (*tls)->Feed(*bytes);
  }
  tls_ = std::move(*tls);
  return {};
}

Status RedisWire::Connect(const RedisUrl& url, BootTime deadline) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_ADDRCONFIG;
  addrinfo* found = nullptr;
  const std::string port = fmt::format("{}", url.port);
  int error = getaddrinfo(url.host.c_str(), port.c_str(), &hints, &found);
  if (error == EAI_NONAME || error == EAI_ADDRFAMILY) {  // a machine whose only interface is loopback
    hints.ai_flags = 0;
    error = getaddrinfo(url.host.c_str(), port.c_str(), &hints, &found);
  }
  if (error != 0) return Fail(Code::kUnavailable, fmt::format("{}: {}", where_, gai_strerror(error)));
  Status status;
  for (const addrinfo* address = found; address != nullptr; address = address->ai_next) {
    status = ConnectTo(*address, deadline);
    if (status) break;
  }
  freeaddrinfo(found);
  return status;
}

Status RedisWire::ConnectTo(const addrinfo& address, BootTime deadline) {
  if (fd_ >= 0) close(fd_);
  fd_ = socket(address.ai_family, address.ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, address.ai_protocol);
  if (fd_ < 0) return Fail(Code::kUnavailable, fmt::format("{}: {}", where_, std::strerror(errno)));
  const int on = 1;
  setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  int error = connect(fd_, address.ai_addr, address.ai_addrlen) == 0 ? 0 : errno;
  if (error == EINPROGRESS) {
    if (auto status = Wait(POLLOUT, deadline); !status) {
      if (BootClock::now() < deadline) return status;  // interrupted
      return Fail(Code::kUnavailable, fmt::format("{}: it does not answer in time", where_));
    }
    socklen_t size = sizeof error;
    getsockopt(fd_, SOL_SOCKET, SO_ERROR, &error, &size);
  }
  if (error != 0) return Fail(Code::kUnavailable, fmt::format("{}: {}", where_, std::strerror(error)));
  return {};
}

Status RedisWire::Authenticate(const RedisUrl& url, BootTime deadline) {
  if (url.password.empty() && url.user.empty()) return {};
  const auto reply =
      url.user.empty() ? Ask({"AUTH", url.password}, deadline) : Ask({"AUTH", url.user, url.password}, deadline);
  if (!reply) return tl::unexpected(reply.error());
  if (reply->kind != RedisReply::Kind::kError) return {};
  // Only its first word: some servers quote the command that they did not understand, and so the password.
  const std::string_view word = FirstWord(reply->text);
  if (word != "WRONGPASS" && word != "ERR" && word != "NOAUTH")
    return Fail(RedisErrorOf(where_, reply->text).code, fmt::format("{}: {}", where_, Quoted(word)));
  return Fail(Code::kInvalidArgument, fmt::format("{}: the server refused the user or password ({})", where_, word));
}

// SELECT is sent in any case: it makes a server that wants a password say so.
Status RedisWire::Select(int database, BootTime deadline) {
  const std::string number = fmt::format("{}", database);
  const auto reply = Ask({"SELECT", number}, deadline);
  if (!reply) return tl::unexpected(reply.error());
  if (reply->kind != RedisReply::Kind::kError) return {};
  if (FirstWord(reply->text) == "NOAUTH")
    return Fail(Code::kInvalidArgument, fmt::format("{}: the server wants a password (NOAUTH)", where_));
  Error error = RedisErrorOf(where_, reply->text);
  if (error.code == Code::kInternal) error.code = Code::kInvalidArgument;  // no such database
  return tl::unexpected(std::move(error));
}

Status RedisWire::Wait(short events, BootTime deadline) const {
  while (true) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - BootClock::now()).count();
    std::array<pollfd, 2> files{{{.fd = fd_, .events = events, .revents = 0},
                                 {.fd = wake_fd_, .events = POLLIN, .revents = 0}}};  // -1 is ignored
    const int ready = poll(files.data(), files.size(), static_cast<int>(std::clamp<std::int64_t>(left, 0, 3'600'000)));
    if (ready < 0 && errno != EINTR) return Fail(Code::kInternal, fmt::format("poll: {}", std::strerror(errno)));
    if (ready > 0 && files[1].revents != 0) return Fail(Code::kTimeout, where_ + ": interrupted");
    if (ready > 0) return {};
    if (left <= 0) return Fail(Code::kTimeout, where_ + ": no answer in time");
  }
}

Status RedisWire::Send(const RedisArguments& command, BootTime deadline) {
  std::string text = fmt::format("*{}\r\n", command.size());
  for (const std::string_view argument : command) {
    text += fmt::format("${}\r\n", argument.size());
    text += argument;
    text += "\r\n";
  }
  if (tls_ == nullptr) return SendBytes(text, deadline);
  if (auto status = tls_->Encrypt(text); !status) return FailIn(where_, status.error());
  return SendBytes(tls_->TakeOutgoing(), deadline);
}

Status RedisWire::SendBytes(std::string_view bytes, BootTime deadline) {
  while (!bytes.empty()) {
    const ssize_t sent = send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent >= 0) {
      bytes.remove_prefix(static_cast<std::size_t>(sent));
    } else if (errno == EAGAIN) {
      if (auto status = Wait(POLLOUT, deadline); !status) return Fail(Code::kUnavailable, status.error().message);
    } else if (errno != EINTR) {
      return Fail(Code::kUnavailable, fmt::format("{}: {}", where_, std::strerror(errno)));
    }
  }
  return {};
}

// At least one byte.
Result<std::string> RedisWire::ReceiveBytes(BootTime deadline) {
  for (;;) {
    if (auto status = Wait(POLLIN, deadline); !status) return tl::unexpected(status.error());
    std::array<char, 16'384> buffer;
    const ssize_t got = recv(fd_, buffer.data(), buffer.size(), 0);
    if (got == 0) return Fail(Code::kInDoubt, fmt::format("{}: the server closed the connection", where_));
    if (got > 0) return std::string(buffer.data(), static_cast<std::size_t>(got));
    if (errno != EAGAIN && errno != EINTR)
      return Fail(Code::kInDoubt, fmt::format("{}: {}", where_, std::strerror(errno)));
  }
}

Result<RedisReply> RedisWire::Receive(BootTime deadline) {
  while (true) {
    auto reply = replies_.Next();
    if (!reply) return Fail(Code::kInDoubt, fmt::format("{}: {}", where_, reply.error().message));
    if (*reply) return **std::move(reply);
    auto bytes = ReceiveBytes(deadline);
    if (!bytes) return tl::unexpected(bytes.error());
    if (tls_ != nullptr) {
      tls_->Feed(*bytes);
      bytes = tls_->Decrypt();
      if (!bytes) return FailIn(where_, bytes.error());
      // Reading may have to answer (a change of keys).
      if (auto sent = SendBytes(tls_->TakeOutgoing(), deadline); !sent) return tl::unexpected(sent.error());
    }
    replies_.Feed(*bytes);
  }
}

bool RedisWire::Quiet() const {
  pollfd file{.fd = fd_, .events = POLLIN, .revents = 0};
  return poll(&file, 1, 0) == 0;
}

}  // namespace escapement
