#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "buildkit/methods.hpp"
#include "buildkit/ref_map.hpp"

namespace buildkit_lb::buildkit {

/// What the recordings of one client may take together: one with many builds must not take the memory of all. On one
/// thread; outlives the recordings.
struct recording_budget {
    std::size_t limit = 0;
    std::size_t used = 0;
    std::atomic<std::size_t>* all_used = nullptr;  ///< where those of all clients are counted, for whoever reads it

    void add(std::size_t bytes);
    void remove(std::size_t bytes);
};

/// What a build's client has asked of its worker, as far as another worker has to be asked it again when that one is
/// lost: Control/Solve, the LLBBridge/Solve calls that went well with the refs they gave, Return, and the calls that
/// have no answer yet. Answers to other calls are the client's own by then and are not kept.
///
/// Bounded in bytes: over its limit or its client's budget everything is dropped, and stays dropped, since half of a
/// build is of no use. Owned by the build, used on its thread. Keeps no clock.
class build_recording {
public:
    /// `solve` is the Control/Solve request; `limit` counts requests, refs and a little for each.
    build_recording(std::string solve, std::size_t limit, recording_budget& budget);
    build_recording(const build_recording&) = delete;
    build_recording& operator=(const build_recording&) = delete;
    ~build_recording() { budget_.remove(bytes_); }

    // ---- Recording ----

    using call_id = std::uint64_t;  // in the order in which the calls were made; never 0
    using shared_text = std::shared_ptr<const std::string>;

    /// A call of LLBBridge of one request and one answer is about to be sent for the first time. Until it is answered
    /// whoever makes the call keeps the request, to send it again, and it is counted here.
    call_id begin(method kind, shared_text request);

    /// The worker has answered it well; `refs` are those of an answer to LLBBridge/Solve. Once only; later answers to
    /// the same request, sent to another worker, are for ref_map.
    void answered(call_id call, std::vector<placed_ref> refs = {});

    /// It has ended without an answer that counts: with an error, or because the client does not want one any more.
    void dropped(call_id call);

    // ---- Repeating ----

    /// The build is too large to be repeated: nothing is kept of it.
    bool over_limit() const { return over_limit_; }
    std::size_t bytes() const { return bytes_; }

    const std::string& solve() const { return solve_; }

    /// A LLBBridge/Solve that was answered, and the refs that the client knows of it.
    struct solved {
        shared_text request;
        std::vector<placed_ref> refs;
    };
    /// In the order in which they were asked.
    std::vector<solved> to_solve_again() const;

    /// The Return that was answered; nullptr while there is none.
    const shared_text& returned() const { return returned_; }

private:
    struct call {
        method kind = method::llb_question;
        bool is_answered = false;
        solved what;
    };

    void add(std::size_t bytes);
    void remove(std::size_t bytes);
    void erase(std::map<call_id, call>::iterator at);

    const std::size_t limit_;
    recording_budget& budget_;
    std::size_t bytes_ = 0;
    bool over_limit_ = false;
    std::string solve_;
    std::map<call_id, call> calls_;  // without an answer; and LLBBridge/Solve calls with one
    call_id last_ = 0;
    shared_text returned_;
};

}  // namespace buildkit_lb::buildkit
