#pragma once

#include <filesystem>
#include <string>

#include "tls/files.hpp"

namespace buildkit_lb::test {

/// A certificate that is its own authority, and its key, in PEM files of a directory that goes with this object.
class self_signed {
public:
    /// For the DNS name and the address 127.0.0.1.
    explicit self_signed(const std::string& dns_name = "lb.example");
    ~self_signed();
    self_signed(const self_signed&) = delete;
    self_signed& operator=(const self_signed&) = delete;

    std::string cert() const { return (directory_ / "cert.pem").string(); }
    std::string key() const { return (directory_ / "key.pem").string(); }
    /// A file of this text.
    std::string file(const std::string& name, const std::string& text) const;

    tls::server_files server() const { return {cert(), key(), {}, {}, {}}; }
    /// Trusts this one and shows it.
    tls::client_files client() const { return {cert(), cert(), key(), {}}; }

private:
    std::filesystem::path directory_;
};

}  // namespace buildkit_lb::test
