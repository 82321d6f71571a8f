#include "support/certificates.hpp"

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdexcept>

#include "tls/openssl.hpp"

namespace buildkit_lb::test {
namespace {

using file_ptr = std::unique_ptr<FILE, tls::openssl_deleter<&std::fclose>>;

file_ptr create(const std::string& path)
{
    file_ptr made{std::fopen(path.c_str(), "w")};
    if (!made) {
        throw std::runtime_error("can't write " + path);
    }
    return made;
}

void add_extension(X509* to, int kind, const std::string& value)
{
    X509V3_CTX context;
    X509V3_set_ctx_nodb(&context);
    X509V3_set_ctx(&context, to, to, nullptr, nullptr, 0);
    X509_EXTENSION* made = X509V3_EXT_conf_nid(nullptr, &context, kind, value.c_str());
    X509_add_ext(to, made, -1);
    X509_EXTENSION_free(made);
}

}  // namespace

self_signed::self_signed(const std::string& dns_name)
{
    std::string pattern = (std::filesystem::temp_directory_path() / "certificates-XXXXXX").string();
    if (::mkdtemp(pattern.data()) == nullptr) {
        throw std::runtime_error("can't make a directory");
    }
    directory_ = pattern;

    const std::unique_ptr<EVP_PKEY, tls::openssl_deleter<&EVP_PKEY_free>> secret{EVP_EC_gen("P-256")};
    const tls::x509_ptr made{X509_new()};
    X509_set_version(made.get(), 2);
    ASN1_INTEGER_set(X509_get_serialNumber(made.get()), 1);
    X509_gmtime_adj(X509_getm_notBefore(made.get()), -3600);
    X509_gmtime_adj(X509_getm_notAfter(made.get()), 24 * 3600);
    X509_set_pubkey(made.get(), secret.get());
    X509_NAME* name = X509_get_subject_name(made.get());
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, reinterpret_cast<const unsigned char*>("Common"), -1, -1, 0);
    X509_set_issuer_name(made.get(), name);
    add_extension(made.get(), NID_basic_constraints, "critical,CA:TRUE");
    add_extension(made.get(), NID_subject_alt_name, "DNS:" + dns_name + ",IP:127.0.0.1");
    X509_sign(made.get(), secret.get(), EVP_sha256());

    PEM_write_X509(create(cert()).get(), made.get());
    PEM_write_PrivateKey(create(key()).get(), secret.get(), nullptr, nullptr, 0, nullptr, nullptr);
}

self_signed::~self_signed()
{
    std::error_code ignored;
    std::filesystem::remove_all(directory_, ignored);
}

std::string self_signed::file(const std::string& name, const std::string& text) const
{
    const auto path = (directory_ / name).string();
    std::ofstream{path} << text;
    return path;
}

}  // namespace buildkit_lb::test
