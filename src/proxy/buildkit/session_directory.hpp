#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <cstddef>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "balancer/worker.hpp"
#include "core/types.hpp"

namespace buildkit_lb::proxy {

/// What came of offering a session to a worker.
enum class attach_outcome : std::uint8_t {
    attached,     ///< the worker has it
    absent,       ///< there is no such session, or it has ended
    unreachable,  ///< the worker can't be connected to, or did not take it
};

/// Something that can offer its session to a worker. Lives on one data thread.
class session_host {
public:
    virtual ~session_host() = default;

    /// Offers the session to `where`, if it was not already; `done` is called on this thread once it is known what
    /// came of it. On the host's thread.
    virtual void attach(const std::shared_ptr<balancer::worker>& where, std::function<void(attach_outcome)> done) = 0;
};

/// Finds a session by its uuid, whichever thread it lives on. Every member may be called from any thread.
class session_directory {
public:
    using attach_done = std::function<void(attach_outcome)>;

    /// A session that does not come is waited for as long as a worker does.
    static constexpr duration wait_time = std::chrono::seconds{5};

    /// Enters a session; `host` lives on the thread of `executor`. False when that uuid is taken.
    bool add(const std::string& uuid, boost::asio::any_io_executor executor, std::weak_ptr<session_host> host,
             std::string shared_key = {});
    void remove(const std::string& uuid);

    /// Offers the session to a worker. Waits up to wait_time for a session that is not here yet. `done` is called on
    /// some thread, exactly once.
    void attach(const std::string& uuid, const std::shared_ptr<balancer::worker>& where, time_point now,
                attach_done done);

    /// True when the session is here. Else `then` is called once it is, or with false when it did not come in
    /// wait_time; under our lock: it may only post.
    bool here_or(const std::string& uuid, time_point now, std::function<void(bool)> then);

    /// Gives up the waits that have lasted too long. Call it every second or so.
    void expire(time_point now);

    /// The known sessions that are named anywhere in `bytes`.
    std::vector<std::string> find_in(std::string_view bytes) const;

    /// The shared key of the first of `uuids` that is here and has one; empty when none does.
    std::string shared_key_of(const std::vector<std::string>& uuids) const;

    /// The client has opened an upload in the session: what is sent so may be readable only once.
    void note_upload(const std::string& uuid);

    /// What is to be known of the sessions of a build before it is sent to another worker.
    struct standing {
        bool all_here = true;   ///< none has ended
        bool uploaded = false;  ///< one of them has had an upload
    };
    standing standing_of(const std::vector<std::string>& uuids) const;

    std::size_t size() const;

private:
    struct entry {
        boost::asio::any_io_executor executor;
        std::weak_ptr<session_host> host;
        std::string shared_key;
        bool uploaded = false;
    };
    struct waiting {
        std::string uuid;
        time_point deadline;
        std::function<void(const entry*)> then;  // nullptr: it did not come
    };

    static void ask(const entry& whom, std::shared_ptr<balancer::worker> where, attach_done done);

    mutable std::mutex mutex_;
    std::unordered_map<std::string, entry> sessions_;
    std::map<std::size_t, std::size_t> lengths_;  // how many known uuids have that length
    std::list<waiting> waiting_;                  // in order of deadline
};

}  // namespace buildkit_lb::proxy
