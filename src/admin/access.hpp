#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "admin/router.hpp"

namespace buildkit_lb::admin {

/// Who may make calls that change something: everything but GET and HEAD. With a token, whoever has it. Without one the
/// server must be on loopback, and everybody on this machine may, but for web pages from elsewhere: a browser sends
/// their calls from this machine too, and tells so.
///
/// Owned by the server; on the control thread. No I/O.
class access_rules {
public:
    /// `loopback`: only this machine can reach the server.
    access_rules(std::string token, bool loopback) : token_{std::move(token)}, loopback_{loopback} {}

    /// The token from now on; empty: none.
    void set_token(std::string token) { token_ = std::move(token); }

    /// nullopt: it may. Else what to answer.
    std::optional<response> refuse(const request& incoming) const;

private:
    std::optional<response> check_token(const request& incoming) const;
    static std::optional<response> check_browser(const request& incoming);

    std::string token_;
    const bool loopback_;
};

/// Compares in a time that tells nothing of where they differ, only of their lengths.
bool equal_secrets(std::string_view a, std::string_view b);

}  // namespace buildkit_lb::admin
