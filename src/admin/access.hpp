#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "admin/router.hpp"
#include "core/endpoint.hpp"

namespace buildkit_lb::admin {

/// Who is answered. Web pages from elsewhere are not: a browser sends their requests from the machine of whoever looks
/// at them, which may be one that is trusted here. Who else reaches the server may read. What changes something
/// (everything but GET and HEAD) takes the token; where there is none the server must be on loopback, and everybody on
/// this machine may.
///
/// Owned by the server; on the control thread. No I/O.
class access_rules {
public:
    /// Who can reach the server.
    enum class reach : std::uint8_t { unix_socket, loopback, network };
    static reach reach_of(const endpoint& address);

    access_rules(std::string token, reach from) : token_{std::move(token)}, reach_{from} {}

    /// The token from now on; empty: none.
    void set_token(std::string token) { token_ = std::move(token); }
    /// The names by which the server may be called from now on, beside addresses and localhost: in lower case, `*.` and
    /// the end of a name for all of them. None: for a server on loopback no other name, else any.
    void set_hosts(std::vector<std::string> hosts) { hosts_ = std::move(hosts); }

    /// nullopt: it may. Else what to answer.
    std::optional<response> refuse(const request& incoming) const;

private:
    bool has_token(const request& incoming) const;
    std::optional<response> check_token(const request& incoming) const;
    std::optional<response> check_change(const request& incoming) const;
    std::optional<response> check_site(const request& incoming) const;
    bool is_ours(std::string_view host) const;

    std::string token_;
    std::vector<std::string> hosts_;
    const reach reach_;
};

/// Compares in a time that tells nothing of where they differ, only of their lengths.
bool equal_secrets(std::string_view a, std::string_view b);

}  // namespace buildkit_lb::admin
