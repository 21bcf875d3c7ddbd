#include "redis/tls.h"

#include <arpa/inet.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <array>

#include <fmt/format.h>

namespace escapement {
namespace {

std::string LastError() {
  const unsigned long code = ERR_get_error();
  ERR_clear_error();
  const char* reason = ERR_reason_error_string(code);
  return reason != nullptr ? reason : "unknown TLS error";
}

tl::unexpected<Error> BadFile(const char* what, const std::string& file) {
  return Fail(Code::kInvalidArgument, fmt::format("{} '{}' cannot be used: {}", what, file, LastError()));
}

bool IsAddress(const std::string& host) {
  std::array<unsigned char, sizeof(in6_addr)> bytes{};
  return inet_pton(AF_INET, host.c_str(), bytes.data()) == 1 || inet_pton(AF_INET6, host.c_str(), bytes.data()) == 1;
}

}  // namespace

void Tls::Free::operator()(ssl_st* ssl) const { SSL_free(ssl); }

Result<std::unique_ptr<Tls>> Tls::Create(const TlsSettings& settings, const std::string& host) {
  const std::unique_ptr<SSL_CTX, decltype(&SSL_CTX_free)> context(SSL_CTX_new(TLS_client_method()), &SSL_CTX_free);
  if (context == nullptr) return Fail(Code::kInternal, "TLS: " + LastError());
  SSL_CTX_set_min_proto_version(context.get(), TLS1_2_VERSION);
  SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER, nullptr);
  if (settings.ca_file.empty()) {
    SSL_CTX_set_default_verify_paths(context.get());
  } else if (SSL_CTX_load_verify_locations(context.get(), settings.ca_file.c_str(), nullptr) != 1) {
    return BadFile("cacert", settings.ca_file);
  }
  if (!settings.cert_file.empty()) {
    const std::string& key = settings.key_file.empty() ? settings.cert_file : settings.key_file;
    if (SSL_CTX_use_certificate_chain_file(context.get(), settings.cert_file.c_str()) != 1)
      return BadFile("cert", settings.cert_file);
    if (SSL_CTX_use_PrivateKey_file(context.get(), key.c_str(), SSL_FILETYPE_PEM) != 1) return BadFile("key", key);
  }
  std::unique_ptr<Tls> tls(new Tls(SSL_new(context.get())));  // it holds the context
  SSL* ssl = tls->ssl_.get();
  BIO* in = BIO_new(BIO_s_mem());
  BIO* out = BIO_new(BIO_s_mem());
  if (ssl == nullptr || in == nullptr || out == nullptr) return Fail(Code::kInternal, "TLS: out of memory");
  BIO_set_mem_eof_return(in, -1);  // empty means wait, not the end
  BIO_set_mem_eof_return(out, -1);
  SSL_set_bio(ssl, in, out);
  SSL_set_connect_state(ssl);
  if (IsAddress(host)) {
    X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host.c_str());
  } else {
    SSL_set1_host(ssl, host.c_str());
    SSL_set_tlsext_host_name(ssl, host.c_str());
  }
  return tls;
}

Result<bool> Tls::Handshake() {
  ERR_clear_error();  // of others on this thread
  const int done = SSL_do_handshake(ssl_.get());
  if (done == 1) return true;
  if (SSL_get_error(ssl_.get(), done) == SSL_ERROR_WANT_READ) return false;
  if (const long verdict = SSL_get_verify_result(ssl_.get()); verdict != X509_V_OK) {
    ERR_clear_error();
    return Fail(Code::kInvalidArgument,
                fmt::format("the server's certificate is refused: {}", X509_verify_cert_error_string(verdict)));
  }
  return Fail(Code::kInvalidArgument, fmt::format("the TLS handshake failed: {}", LastError()));
}

Status Tls::Encrypt(std::string_view plain) {
  std::size_t written = 0;
  ERR_clear_error();
  if (plain.empty() || SSL_write_ex(ssl_.get(), plain.data(), plain.size(), &written) == 1) return {};
  return Fail(Code::kUnavailable, "TLS: " + LastError());
}

void Tls::Feed(std::string_view bytes) {
  BIO_write(SSL_get_rbio(ssl_.get()), bytes.data(), static_cast<int>(bytes.size()));
}

Result<std::string> Tls::Decrypt() {
  std::string plain;
  for (;;) {
    std::array<char, 16'384> buffer;
    std::size_t got = 0;
    ERR_clear_error();
    const int ok = SSL_read_ex(ssl_.get(), buffer.data(), buffer.size(), &got);
    if (ok == 1) {
      plain.append(buffer.data(), got);
      continue;
    }
    const int error = SSL_get_error(ssl_.get(), ok);
    if (error == SSL_ERROR_WANT_READ || !plain.empty()) return plain;
    if (error == SSL_ERROR_ZERO_RETURN) return Fail(Code::kInDoubt, "the server closed the connection");
    return Fail(Code::kInDoubt, "TLS: " + LastError());
  }
}

std::string Tls::TakeOutgoing() {
  BIO* out = SSL_get_wbio(ssl_.get());
  std::string bytes(static_cast<std::size_t>(BIO_ctrl_pending(out)), '\0');
  if (!bytes.empty()) BIO_read(out, bytes.data(), static_cast<int>(bytes.size()));
  return bytes;
}

}  // namespace escapement
