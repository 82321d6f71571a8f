#pragma once

#include <openssl/x509.h>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace buildkit_lb::tls {

/// Whom a certificate is for: its DNS names, URIs and mail addresses (subjectAltName), then the common name of its
/// subject. DNS names in lower case. Names with control characters or a NUL inside are left out: they are made to
/// deceive.
std::vector<std::string> names_of(const X509* certificate);

/// One name is meant by a pattern: they are equal, or the pattern is `*.` and what follows the first label of the name.
bool name_matches(std::string_view name, std::string_view pattern);

/// The first of `names` that one of `patterns` means; empty when none does.
std::string_view first_allowed(std::span<const std::string> names, std::span<const std::string> patterns);

}  // namespace buildkit_lb::tls
