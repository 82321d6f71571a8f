#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/failure.hpp"

/// Build histories of several workers made into one. Pure; any thread.
namespace buildkit_lb::buildkit {

/// What a BuildHistoryRequest asks for.
struct history_request {
    std::string ref;
    bool active_only = false;
    bool early_exit = false;
    std::int32_t limit = 0;  ///< 0: none
};
result<history_request> parse_history_request(std::string_view message);

/// The Ref by which buildx asks whether a daemon has a history at all.
inline constexpr std::string_view history_probe_ref = "buildx-test-history-api-feature";

/// A BuildHistoryRequest for what is known of one build. It names no Ref where a filter will do: a daemon that was
/// asked for a Ref only hides a record that is deleted later, in place of deleting it. Old daemons ignore the filter,
/// so all events have to be looked at.
std::string history_search(std::string_view ref);

enum class history_event_type : std::uint8_t { started = 0, complete = 1, deleted = 2 };

/// A serialized BuildHistoryEvent and what is needed of it.
struct history_event {
    history_event_type type = history_event_type::started;
    std::string ref;
    std::int64_t created_seconds = 0;
    std::int32_t created_nanos = 0;
    /// The same for every telling of one thing: of one state of a record. (Two serializations of a record differ in the
    /// order of their maps.)
    std::uint64_t identity = 0;
    std::string bytes;
};
/// nullopt: malformed.
std::optional<history_event> parse_history_event(std::string bytes);

/// The events that workers told of builds at one moment, as one daemon would tell them: running builds first, then
/// finished ones, at most `limit` of them (0: all); the newest first, as daemons do where there is a limit. Without
/// one they go by Ref, which says nothing: the newest first here too.
class history_batch {
public:
    explicit history_batch(std::int32_t limit) : limit_{limit} {}

    /// Events of finished builds beyond the limit are dropped at once.
    void add(history_event event);
    std::size_t bytes() const { return bytes_; }
    bool empty() const { return started_.empty() && complete_.empty(); }

    /// The events in order; empty afterwards, and what was taken counts towards the limit.
    std::vector<history_event> take();

private:
    void cut();

    std::int32_t limit_;
    std::size_t bytes_ = 0;
    std::size_t taken_ = 0;
    std::vector<history_event> started_;
    std::vector<history_event> complete_;
};

}  // namespace buildkit_lb::buildkit
