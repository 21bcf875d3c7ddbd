// TLS over bytes that somebody else carries: no socket, no waiting, no signals.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "escapement/status.h"

struct ssl_st;

namespace escapement {

struct TlsSettings {
  std::string ca_file;    // PEM; empty: the system's trust store
  std::string cert_file;  // PEM, the client's own; empty: none
  std::string key_file;   // PEM; empty: cert_file holds it
};

// The client's end of one connection. Not thread-safe. TLS 1.2 or newer; the server's certificate must be valid for the
// host's name (or address).
class Tls {
 public:
  // kInvalidArgument for files that cannot be used.
  [[nodiscard]] static Result<std::unique_ptr<Tls>> Create(const TlsSettings& settings, const std::string& host);

  // Goes on with the handshake. True: it is done. Bytes to be sent are in TakeOutgoing either way.
  // kInvalidArgument: a certificate is refused, or the server speaks no TLS.
  [[nodiscard]] Result<bool> Handshake();
  [[nodiscard]] Status Encrypt(std::string_view plain);
  // Bytes that came from the server.
  void Feed(std::string_view bytes);
  // What can be read of them now; empty: more bytes are needed. kInDoubt: the connection is broken or was closed.
  [[nodiscard]] Result<std::string> Decrypt();
  // Bytes for the server.
  std::string TakeOutgoing();

 private:
  struct Free {
    void operator()(ssl_st* ssl) const;
  };
  explicit Tls(ssl_st* ssl) : ssl_(ssl) {}
  std::unique_ptr<ssl_st, Free> ssl_;
};

}  // namespace escapement
