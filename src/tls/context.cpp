#include "tls/context.hpp"

#include <array>
#include <cstdlib>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <utility>

#include "core/text.hpp"
#include "tls/certificate_names.hpp"

namespace buildkit_lb::tls {
namespace {

constexpr std::array<unsigned char, 3> h2{2, 'h', '2'};  // a list of protocols as ALPN writes it

// Of a pool that finds workers by DNS, sessions of those that are gone would be kept for ever.
constexpr std::size_t most_sessions = 1024;

/// Where an SSL or its context keeps a pointer of ours.
int context_slot()
{
    static const int slot = SSL_CTX_get_ex_new_index(0, nullptr, nullptr, nullptr, nullptr);
    return slot;
}

/// Where an SSL towards a worker keeps the worker's name, which it owns.
int name_slot()
{
    static const int slot = SSL_get_ex_new_index(
        0, nullptr, nullptr, nullptr,
        [](void*, void* name, CRYPTO_EX_DATA*, int, long, void*) { delete static_cast<std::string*>(name); });
    return slot;
}

std::string quoted(const std::string& path)
{
    return "'" + path + "'";
}

std::string because(const std::string& what)
{
    const std::string why = take_openssl_error();
    return what + (why.empty() ? "" : " (" + why + ")");
}

/// What both ends have in common.
ssl_ctx_ptr make_context(const SSL_METHOD* method)
{
    ssl_ctx_ptr made{SSL_CTX_new(method)};
    if (!made) {
        throw std::bad_alloc{};
    }
    SSL_CTX_set_min_proto_version(made.get(), TLS1_2_VERSION);
    // A connection that is cut without a close_notify ends like any other: HTTP/2 knows itself what was complete.
    SSL_CTX_set_options(made.get(), SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_IGNORE_UNEXPECTED_EOF);
    SSL_CTX_set_mode(made.get(), SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                     SSL_MODE_RELEASE_BUFFERS);  // an idle connection holds no buffers
    return made;
}

bio_ptr memory(const std::string& text)
{
    return bio_ptr{BIO_new_mem_buf(text.data(), static_cast<int>(text.size()))};
}

/// Reads certificate and key into `context`. Returns their texts.
loaded<std::pair<std::string, std::string>> use_certificate(SSL_CTX* context, const std::string& cert,
                                                            const std::string& key)
{
    auto chain = read_pem_file("cert", cert);
    if (!chain) {
        return chain.error();
    }
    auto secret = read_pem_file("key", key);
    if (!secret) {
        return secret.error();
    }
    ERR_clear_error();
    const bio_ptr in = memory(*chain);
    const x509_ptr leaf{PEM_read_bio_X509_AUX(in.get(), nullptr, nullptr, nullptr)};
    if (!leaf || SSL_CTX_use_certificate(context, leaf.get()) != 1) {
        return file_problem{"cert", because(quoted(cert) + " holds no certificate that can be used")};
    }
    SSL_CTX_clear_chain_certs(context);
    while (x509_ptr next{PEM_read_bio_X509(in.get(), nullptr, nullptr, nullptr)}) {
        if (SSL_CTX_add0_chain_cert(context, next.get()) != 1) {
            return file_problem{"cert", because(quoted(cert) + " holds a certificate that can't be used")};
        }
        next.release();  // the context's now
    }
    ERR_clear_error();  // the end of the file is noted as an error
    const bio_ptr secret_in = memory(*secret);
    // No pass phrase is asked for: nobody is there to answer.
    const auto no_pass_phrase = [](char*, int, int, void*) { return -1; };
    const std::unique_ptr<EVP_PKEY, openssl_deleter<&EVP_PKEY_free>> parsed{
        PEM_read_bio_PrivateKey(secret_in.get(), nullptr, no_pass_phrase, nullptr)};
    if (!parsed) {
        return file_problem{"key", because(quoted(key) + " holds no private key without a pass phrase")};
    }
    if (SSL_CTX_use_PrivateKey(context, parsed.get()) != 1 || SSL_CTX_check_private_key(context) != 1) {
        take_openssl_error();
        return file_problem{"key", quoted(key) + " is not the key of the certificate in " + quoted(cert)};
    }
    return std::pair{std::move(*chain), std::move(*secret)};
}

/// Adds the certificates of `text` to those that `context` trusts.
loaded<int> trust(SSL_CTX* context, const std::string& key, const std::string& path, const std::string& text)
{
    ERR_clear_error();
    int count = 0;
    X509_STORE* store = SSL_CTX_get_cert_store(context);
    const bio_ptr in = memory(text);
    while (const x509_ptr next{PEM_read_bio_X509(in.get(), nullptr, nullptr, nullptr)}) {
        if (X509_STORE_add_cert(store, next.get()) != 1) {
            return file_problem{key, because(quoted(path) + " holds a certificate that can't be used")};
        }
        ++count;
    }
    const auto last = ERR_peek_last_error();
    const bool ended = ERR_GET_LIB(last) == ERR_LIB_PEM && ERR_GET_REASON(last) == PEM_R_NO_START_LINE;
    if (count == 0 || !ended) {
        return file_problem{key, because(quoted(path) + " holds no certificate that can be read")};
    }
    ERR_clear_error();
    return count;
}

/// The bundle of authorities that the system trusts; empty when there is none.
std::string system_authorities()
{
    for (const char* path : {static_cast<const char*>(std::getenv(X509_get_default_cert_file_env())),
                             X509_get_default_cert_file(), "/etc/ssl/certs/ca-certificates.crt"}) {
        if (path != nullptr) {
            if (auto text = read_pem_file("ca", path)) {
                return std::move(*text);
            }
        }
    }
    return {};
}

loaded<int> use_revocations(SSL_CTX* context, const std::string& path)
{
    const auto text = read_pem_file("client_crl", path);
    if (!text) {
        return text.error();
    }
    ERR_clear_error();
    X509_STORE* store = SSL_CTX_get_cert_store(context);
    const bio_ptr in = memory(*text);
    int count = 0;
    using crl_ptr = std::unique_ptr<X509_CRL, openssl_deleter<&X509_CRL_free>>;
    while (const crl_ptr next{PEM_read_bio_X509_CRL(in.get(), nullptr, nullptr, nullptr)}) {
        X509_STORE_add_crl(store, next.get());
        ++count;
    }
    if (count == 0) {
        return file_problem{"client_crl", because(quoted(path) + " holds no revocation list that can be read")};
    }
    ERR_clear_error();
    X509_STORE_set_flags(store, X509_V_FLAG_CRL_CHECK);
    return count;
}

}  // namespace

std::string take_openssl_error()
{
    const auto code = ERR_get_error();
    ERR_clear_error();
    if (code == 0) {
        return {};
    }
    const char* reason = ERR_reason_error_string(code);
    if (reason != nullptr) {
        return reason;
    }
    std::array<char, 256> text{};
    ERR_error_string_n(code, text.data(), text.size());
    return text.data();
}

// ---- Towards clients ----

server_context::server_context(ssl_ctx_ptr context, const server_files& files, inner_protocol speaks)
    : context_{std::move(context)}, allow_names_{files.allow_names}, speaks_{speaks}
{
    SSL_CTX_set_ex_data(context_.get(), context_slot(), this);
    SSL_CTX_set_alpn_select_cb(context_.get(), &choose_protocol, this);
    if (!files.client_ca.empty()) {
        SSL_CTX_set_verify(context_.get(), SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, &verify);
    }
}

loaded<std::shared_ptr<const server_context>> server_context::make(const server_files& files, inner_protocol speaks)
{
    ssl_ctx_ptr context = make_context(TLS_server_method());
    SSL_CTX_set_options(context.get(), SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
    // A session is resumed only with the context that it began with; the id has to be there for client certificates.
    static constexpr std::string_view id = "buildkit-lb";
    SSL_CTX_set_session_id_context(context.get(), reinterpret_cast<const unsigned char*>(id.data()), id.size());
    if (auto used = use_certificate(context.get(), files.cert, files.key); !used) {
        return used.error();
    }
    if (!files.client_ca.empty()) {
        const auto text = read_pem_file("client_ca", files.client_ca);
        if (!text) {
            return text.error();
        }
        if (auto trusted = trust(context.get(), "client_ca", files.client_ca, *text); !trusted) {
            return trusted.error();
        }
        if (!files.client_crl.empty()) {
            if (auto revoked = use_revocations(context.get(), files.client_crl); !revoked) {
                return revoked.error();
            }
        }
    }
    return std::shared_ptr<const server_context>{new server_context{std::move(context), files, speaks}};
}

ssl_ptr server_context::accept() const
{
    ssl_ptr made{SSL_new(context_.get())};
    if (made) {
        SSL_set_accept_state(made.get());
    }
    return made;
}

int server_context::verify(int well, X509_STORE_CTX* store)
{
    if (well != 1 || X509_STORE_CTX_get_error_depth(store) != 0) {
        return well;
    }
    const auto* ssl = static_cast<const SSL*>(X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx()));
    const auto* self = static_cast<const server_context*>(SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl), context_slot()));
    if (!self->allow_names_.empty() &&
        first_allowed(names_of(X509_STORE_CTX_get_current_cert(store)), self->allow_names_).empty()) {
        X509_STORE_CTX_set_error(store, X509_V_ERR_APPLICATION_VERIFICATION);
        return 0;
    }
    return 1;
}

int server_context::choose_protocol(SSL*, const unsigned char** chosen, unsigned char* chosen_size,
                                    const unsigned char* offered, unsigned offered_size, void* context)
{
    const auto& self = *static_cast<const server_context*>(context);
    unsigned char* found = nullptr;
    if (SSL_select_next_proto(&found, chosen_size, h2.data(), h2.size(), offered, offered_size) ==
        OPENSSL_NPN_NEGOTIATED) {
        *chosen = found;
        return SSL_TLSEXT_ERR_OK;
    }
    return self.speaks_ == inner_protocol::http2 ? SSL_TLSEXT_ERR_ALERT_FATAL : SSL_TLSEXT_ERR_NOACK;
}

std::string server_context::client_name(const SSL& of) const
{
    const x509_ptr certificate{SSL_get1_peer_certificate(&of)};
    if (!certificate) {
        return {};
    }
    const auto names = names_of(certificate.get());
    const std::string_view allowed = first_allowed(names, allow_names_);
    return !allowed.empty() || names.empty() ? std::string{allowed} : names.front();
}

std::string server_context::dialled_name(const SSL& of)
{
    const char* name = SSL_get_servername(&of, TLSEXT_NAMETYPE_host_name);
    return lower_case(name != nullptr ? name : "");
}

// ---- Towards workers ----

client_context::client_context(ssl_ctx_ptr context, pem_texts pem, std::string server_name)
    : context_{std::move(context)}, pem_{std::move(pem)}, server_name_{std::move(server_name)}
{
    SSL_CTX_set_ex_data(context_.get(), context_slot(), this);
    SSL_CTX_set_verify(context_.get(), SSL_VERIFY_PEER, nullptr);
    SSL_CTX_set_alpn_protos(context_.get(), h2.data(), h2.size());
    SSL_CTX_set_session_cache_mode(context_.get(), SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(context_.get(), &keep_session);
}

loaded<std::shared_ptr<const client_context>> client_context::make(const client_files& files)
{
    ssl_ctx_ptr context = make_context(TLS_client_method());
    pem_texts pem;
    if (files.ca.empty()) {
        SSL_CTX_set_default_verify_paths(context.get());
        pem.ca = system_authorities();
    } else {
        auto text = read_pem_file("ca", files.ca);
        if (!text) {
            return text.error();
        }
        if (auto trusted = trust(context.get(), "ca", files.ca, *text); !trusted) {
            return trusted.error();
        }
        pem.ca = std::move(*text);
    }
    if (!files.cert.empty()) {
        auto used = use_certificate(context.get(), files.cert, files.key);
        if (!used) {
            return used.error();
        }
        std::tie(pem.cert, pem.key) = std::move(*used);
    }
    return std::shared_ptr<const client_context>{
        new client_context{std::move(context), std::move(pem), files.server_name}};
}

ssl_ptr client_context::connect(const std::string& host) const
{
    const std::string& name = server_name_.empty() ? host : server_name_;
    ssl_ptr made{SSL_new(context_.get())};
    if (!made) {
        return made;
    }
    SSL_set_connect_state(made.get());
    X509_VERIFY_PARAM* demanded = SSL_get0_param(made.get());
    if (X509_VERIFY_PARAM_set1_ip_asc(demanded, name.c_str()) != 1) {
        take_openssl_error();
        X509_VERIFY_PARAM_set_hostflags(demanded, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
        if (SSL_set1_host(made.get(), name.c_str()) != 1 || SSL_set_tlsext_host_name(made.get(), name.c_str()) != 1) {
            return nullptr;
        }
    }
    auto of = std::make_unique<std::string>(host);
    if (SSL_set_ex_data(made.get(), name_slot(), of.get()) == 1) {
        of.release();
    }
    if (const auto session = session_of(host)) {
        SSL_set_session(made.get(), session.get());
    }
    return made;
}

ssl_session_ptr client_context::session_of(const std::string& host) const
{
    const std::lock_guard lock{mutex_};
    const auto found = sessions_.find(host);
    if (found == sessions_.end()) {
        return nullptr;
    }
    // A copy, as what is kept is one: OpenSSL spoils the session of a connection that ends without a close_notify.
    return ssl_session_ptr{SSL_SESSION_dup(found->second.get())};
}

int client_context::keep_session(SSL* ssl, SSL_SESSION* session)
{
    const auto* self = static_cast<const client_context*>(SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl), context_slot()));
    const auto* host = static_cast<const std::string*>(SSL_get_ex_data(ssl, name_slot()));
    if (host == nullptr) {
        return 0;
    }
    const std::lock_guard lock{self->mutex_};
    if (self->sessions_.size() >= most_sessions) {
        self->sessions_.clear();
    }
    self->sessions_[*host].reset(SSL_SESSION_dup(session));
    return 0;  // we took no reference
}

}  // namespace buildkit_lb::tls
