#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "tls/files.hpp"
#include "tls/openssl.hpp"
#include "tls/pem_file.hpp"

/// TLS 1.2 and newer, by OpenSSL. A context is made of files, immutable, and shared between threads; what it makes for
/// one connection stays on that connection's thread.
namespace buildkit_lb::tls {

/// What protocol a listener speaks inside of TLS.
enum class inner_protocol : std::uint8_t {
    http2,  ///< a client that speaks something else only is refused (ALPN)
    any,    ///< bytes are passed on: h2 is agreed on where a client offers it
};

/// What clients of one listener are accepted with.
class server_context {
public:
    /// Reads the files. Blocks while it does.
    static loaded<std::shared_ptr<const server_context>> make(const server_files& files, inner_protocol speaks);

    server_context(const server_context&) = delete;
    server_context& operator=(const server_context&) = delete;

    /// The state of a new connection, before its handshake. Null when there is no memory.
    ssl_ptr accept() const;

    /// Who the client of a finished handshake is: the name by which it was allowed, else the first of its certificate;
    /// empty without one.
    std::string client_name(const SSL& of) const;
    /// The host name that the client dialled (SNI), in lower case; empty when it did not say.
    static std::string dialled_name(const SSL& of);

private:
    server_context(ssl_ctx_ptr context, const server_files& files, inner_protocol speaks);
    static int verify(int well, X509_STORE_CTX* store);
    static int choose_protocol(SSL* ssl, const unsigned char** chosen, unsigned char* chosen_size,
                               const unsigned char* offered, unsigned offered_size, void* context);

    ssl_ctx_ptr context_;
    std::vector<std::string> allow_names_;
    inner_protocol speaks_;
};

/// What the workers of one pool are connected to with. Keeps the latest session of each worker for a shorter handshake.
class client_context {
public:
    /// Reads the files. Blocks while it does.
    static loaded<std::shared_ptr<const client_context>> make(const client_files& files);

    client_context(const client_context&) = delete;
    client_context& operator=(const client_context&) = delete;

    /// The state of a new connection to the worker at `host` (a name or an IP address), before its handshake. Null when
    /// there is no memory or the name can't be one.
    ssl_ptr connect(const std::string& host) const;

    /// The files' contents, for a library that does TLS by itself.
    struct pem_texts {
        std::string ca;
        std::string cert;
        std::string key;
    };
    const pem_texts& pem() const { return pem_; }
    const std::string& server_name() const { return server_name_; }

private:
    client_context(ssl_ctx_ptr context, pem_texts pem, std::string server_name);
    static int keep_session(SSL* ssl, SSL_SESSION* session);
    ssl_session_ptr session_of(const std::string& host) const;

    ssl_ctx_ptr context_;
    pem_texts pem_;
    std::string server_name_;
    mutable std::mutex mutex_;
    mutable std::map<std::string, ssl_session_ptr> sessions_;  // by the worker's host
};

}  // namespace buildkit_lb::tls
