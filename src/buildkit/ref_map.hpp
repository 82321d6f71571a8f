#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "buildkit/methods.hpp"
#include "core/failure.hpp"

/// Results of LLBBridge/Solve are named by refs, which each worker makes up for itself. A build that starts again on
/// another worker has other refs there than its client was told: these functions find them in the messages that hold
/// them, and put others in their place. Pure; any thread.
namespace buildkit_lb::buildkit {

/// A ref, and where it stands in its message: the same for the same result of the same request on every worker,
/// whatever the order in which maps are written and whether in the form of today or of old clients.
struct placed_ref {
    std::string place;  ///< for example `refs/linux/amd64`
    std::string id;     ///< not empty: an empty ref names an empty result on every worker

    bool operator==(const placed_ref&) const = default;
};

/// The refs in a serialized LLBBridge SolveResponse, in the order in which they are met. Malformed bytes are
/// errc::protocol with the source upstream.
result<std::vector<placed_ref>> refs_of_answer(std::string_view solve_response);

/// A serialized ReturnRequest says that the build has failed in the client.
bool returns_error(std::string_view request);

/// Which refs of a build's present worker stand for those that its client knows.
class ref_map {
public:
    /// Pairs what two workers answered to one request. False when the new worker has no ref in a place where the old
    /// one had one: its answer does not stand for the other.
    bool pair(const std::vector<placed_ref>& known, const std::vector<placed_ref>& present);

    /// The present ref for a known one; the same ref when it was never paired.
    std::string_view present(std::string_view known) const;

    bool empty() const { return present_.empty(); }

    /// A request of a LLBBridge call with its refs replaced. Those of Return and of methods of the kind llb_ref have
    /// refs; all others come back as they are: a LLBBridge/Solve takes definitions, not refs. Fields that are unknown
    /// here stay, byte for byte. nullopt: malformed.
    std::optional<std::string> rewritten(method kind, std::string_view request) const;

private:
    std::unordered_map<std::string, std::string> present_;
};

}  // namespace buildkit_lb::buildkit
