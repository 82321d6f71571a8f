#pragma once

#include <cstddef>
#include <string>

#include "buildkit/waiting_lines.hpp"
#include "core/failure.hpp"
#include "proxy/buildkit/build_record.hpp"
#include "proxy/buildkit/call.hpp"

namespace buildkit_lb::proxy {

/// Writes the balancer's own lines into the answer of a Status that is held: what the build waits for, where it goes
/// and why. Lives in the flow of the call. Says nothing of internal builds, and nothing where `progress` is off.
class own_lines {
public:
    own_lines(call& into, const std::string& ref, bool progress)
        : call_{into}, ref_{ref}, progress_{progress}, waiting_{ref}
    {
    }

    /// The build may be waiting: for a worker, or for other targets.
    void look_at(const build_record& record);
    /// It has its first worker.
    void placed(const build_record& record);
    /// It has another one: `attempt` counts the times it was begun.
    void restarted(const build_record& record, std::size_t attempt);
    /// It gets none.
    void given_up(const failure& why);

private:
    void tell(const std::string& messages);

    call& call_;
    const std::string ref_;
    const bool progress_;
    buildkit::waiting_lines waiting_;
};

}  // namespace buildkit_lb::proxy
