#pragma once

#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "core/failure.hpp"

namespace buildkit_lb::buildkit {

/// Gathers the sessions that one request names, each once and bounded in number and length, and the git repositories
/// and files from the web that its definition takes; remembers the first thing that was wrong with the request. Used
/// within one parse.
class session_collector {
public:
    /// `id` may carry BuildKit's `prefix:`. An empty one is nothing.
    void add(std::string_view id);

    /// Adds what the source ops of a serialized pb.Definition name (attributes `local.session` and `oci.session`),
    /// also within nested builds.
    void add_definition(std::string_view definition);

    /// The same of a definition that comes as an input from elsewhere: its repositories and files are not met.
    void add_input(std::string_view definition);

    /// The address of the one git repository that was met, however often and in which form; without any, that of the
    /// one file from the web. Empty when there are several, or none. May hold credentials.
    std::string remote_source() const;

    void fail(errc code, std::string detail);
    bool failed() const { return problem_.has_value(); }
    const std::optional<failure>& problem() const { return problem_; }

    /// What was gathered, in the order in which it was met.
    std::vector<std::string> take() { return std::move(ordered_); }

private:
    void walk_definition(std::string_view definition, int depth);
    void walk_op(std::string_view op, int depth);
    void walk_source(std::string_view source);

    /// Addresses of one kind; two are enough to know that there are several.
    struct addresses {
        void add(std::string_view address);
        std::string first;       // as it was given
        std::string normalized;  // of the first
        bool several = false;
    };

    std::vector<std::string> ordered_;
    std::set<std::string, std::less<>> seen_;
    std::optional<failure> problem_;
    bool is_input_ = false;  // what is being walked
    addresses repositories_;
    addresses files_;
};

}  // namespace buildkit_lb::buildkit
