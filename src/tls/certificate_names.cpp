#include "tls/certificate_names.hpp"

#include <algorithm>
#include <memory>
#include <openssl/x509v3.h>

#include "core/text.hpp"
#include "tls/openssl.hpp"

namespace buildkit_lb::tls {
namespace {

struct names_deleter {
    void operator()(GENERAL_NAMES* names) const { GENERAL_NAMES_free(names); }
};

std::string text_of(const ASN1_STRING* value)
{
    unsigned char* utf8 = nullptr;
    const int size = ASN1_STRING_to_UTF8(&utf8, value);
    if (size < 0) {
        return {};
    }
    std::string text{reinterpret_cast<const char*>(utf8), static_cast<std::size_t>(size)};
    OPENSSL_free(utf8);
    return text;
}

void add(std::vector<std::string>& names, std::string name)
{
    const bool honest = std::none_of(name.begin(), name.end(),
                                     [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; });
    if (!name.empty() && honest && std::find(names.begin(), names.end(), name) == names.end()) {
        names.push_back(std::move(name));
    }
}

}  // namespace

std::vector<std::string> names_of(const X509* certificate)
{
    std::vector<std::string> names;
    const std::unique_ptr<GENERAL_NAMES, names_deleter> alternatives{
        static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr))};
    for (int i = 0; i < sk_GENERAL_NAME_num(alternatives.get()); ++i) {
        const GENERAL_NAME* name = sk_GENERAL_NAME_value(alternatives.get(), i);
        switch (name->type) {
            case GEN_DNS: add(names, lower_case(text_of(name->d.dNSName))); break;
            case GEN_URI: add(names, text_of(name->d.uniformResourceIdentifier)); break;
            case GEN_EMAIL: add(names, text_of(name->d.rfc822Name)); break;
            default: break;
        }
    }
    const X509_NAME* subject = X509_get_subject_name(certificate);
    const int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
    if (at >= 0) {
        add(names, text_of(X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at))));
    }
    return names;
}

bool name_matches(std::string_view name, std::string_view pattern)
{
    if (pattern.starts_with("*.")) {
        const auto dot = name.find('.');
        return dot != std::string_view::npos && dot != 0 && name.substr(dot) == pattern.substr(1);
    }
    return name == pattern;
}

std::string_view first_allowed(std::span<const std::string> names, std::span<const std::string> patterns)
{
    for (const auto& name : names) {
        if (std::any_of(patterns.begin(), patterns.end(), [&](const auto& p) { return name_matches(name, p); })) {
            return name;
        }
    }
    return {};
}

}  // namespace buildkit_lb::tls
