#pragma once

#include <string>
#include <vector>

/// The PEM files that TLS is made of, as a configuration names them.
namespace buildkit_lb::tls {

/// What a listener shows and demands.
struct server_files {
    std::string cert;                      ///< the certificate, then those between it and its authority
    std::string key;                       ///< of cert
    std::string client_ca;                 ///< not empty: clients must have a certificate that one of these signed
    std::string client_crl;                ///< not empty: and that these do not revoke
    std::vector<std::string> allow_names;  ///< not empty: and that has a name which one of these means

    bool operator==(const server_files&) const = default;
};

/// What is shown to workers and demanded of them.
struct client_files {
    std::string ca;           ///< empty: the authorities that the system trusts
    std::string cert;         ///< empty: none is shown
    std::string key;          ///< of cert
    std::string server_name;  ///< what the worker's certificate must be for; empty: the host of its address

    bool operator==(const client_files&) const = default;
};

}  // namespace buildkit_lb::tls
