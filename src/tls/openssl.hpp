#pragma once

#include <memory>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <string>

/// Owners of OpenSSL's objects, and its last error in words.
namespace buildkit_lb::tls {

template <auto Free>
struct openssl_deleter {
    template <class T>
    void operator()(T* object) const
    {
        Free(object);
    }
};

/// One connection's state. Lives on the thread of its connection.
using ssl_ptr = std::unique_ptr<SSL, openssl_deleter<&SSL_free>>;
using ssl_ctx_ptr = std::unique_ptr<SSL_CTX, openssl_deleter<&SSL_CTX_free>>;
using ssl_session_ptr = std::unique_ptr<SSL_SESSION, openssl_deleter<&SSL_SESSION_free>>;
using x509_ptr = std::unique_ptr<X509, openssl_deleter<&X509_free>>;
using bio_ptr = std::unique_ptr<BIO, openssl_deleter<&BIO_free_all>>;

/// The first error that OpenSSL has noted on this thread, for people; takes all of them off. Empty when there is none.
std::string take_openssl_error();

}  // namespace buildkit_lb::tls
