#pragma once

#include <functional>
#include <string>
#include <string_view>

/// Finds refs in serialized messages of frontend/gateway/pb/gateway.proto, and copies the messages with other refs.
/// What is no ref is copied byte for byte. Used by ref_map; pure.
namespace buildkit_lb::buildkit {

/// Called with each ref that is not empty, and where it stands; returns what is to stand there.
using ref_visitor = std::function<std::string(const std::string& place, std::string_view id)>;

/// Each appends the copy to `out`. False: malformed, and what was appended is worth nothing.
bool walk_solve_response(std::string_view message, const ref_visitor& visit, std::string& out);
bool walk_return(std::string_view message, const ref_visitor& visit, std::string& out);
/// Of the requests ReadFile, ReadDir, StatFile and Evaluate.
bool walk_ref_request(std::string_view message, const ref_visitor& visit, std::string& out);

}  // namespace buildkit_lb::buildkit
