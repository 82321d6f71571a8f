#include <algorithm>
#include <memory>
#include <openssl/x509.h>
#include <string>
#include <vector>

#include "support/require.hpp"
#include "support/targets.hpp"
#include "tls/certificate_names.hpp"

namespace buildkit_lb::fuzz {
namespace {

struct x509_deleter {
    void operator()(X509* c) const { X509_free(c); }
};

}  // namespace

void certificates(std::string_view input)
{
    const auto* bytes = reinterpret_cast<const unsigned char*>(input.data());
    const std::unique_ptr<X509, x509_deleter> certificate{d2i_X509(nullptr, &bytes, static_cast<long>(input.size()))};
    if (certificate == nullptr) {
        return;
    }
    const std::vector<std::string> names = tls::names_of(certificate.get());
    for (const std::string& name : names) {
        require(!name.empty(), "names are not empty");
        require(std::none_of(name.begin(), name.end(),
                             [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }),
                "names can be shown");
        require(std::count(names.begin(), names.end(), name) == 1, "each name once");
        require(name.starts_with("*.") || tls::name_matches(name, name), "a name means itself");
        require(!tls::name_matches(name, name + "x"), "and not a longer one");
    }
    const std::vector<std::string> patterns{"*.ci.example", "robot"};
    const std::string_view allowed = tls::first_allowed(names, patterns);
    require(allowed.empty() || allowed == "robot" || allowed.ends_with(".ci.example"), "only what a pattern means");
}

}  // namespace buildkit_lb::fuzz
