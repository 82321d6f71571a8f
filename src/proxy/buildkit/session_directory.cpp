#include "proxy/buildkit/session_directory.hpp"

#include <boost/asio/post.hpp>
#include <set>

#include "buildkit/session_scan.hpp"

namespace buildkit_lb::proxy {

void session_directory::ask(const entry& whom, std::shared_ptr<balancer::worker> where, attach_done done)
{
    boost::asio::post(whom.executor, [weak = whom.host, where = std::move(where), done = std::move(done)] {
        if (const auto host = weak.lock()) {
            host->attach(where, done);
        } else {
            done(attach_outcome::absent);
        }
    });
}

bool session_directory::add(const std::string& uuid, boost::asio::any_io_executor executor,
                            std::weak_ptr<session_host> host, std::string shared_key)
{
    // Nobody may wait for long here: those who do only post what they were waiting for.
    const std::lock_guard lock{mutex_};
    const auto [at, is_new] =
        sessions_.try_emplace(uuid, entry{std::move(executor), std::move(host), std::move(shared_key), false});
    if (!is_new) {
        return false;
    }
    ++lengths_[uuid.size()];
    for (auto it = waiting_.begin(); it != waiting_.end();) {
        if (it->uuid == uuid) {
            it->then(&at->second);
            it = waiting_.erase(it);
        } else {
            ++it;
        }
    }
    return true;
}

void session_directory::remove(const std::string& uuid)
{
    const std::lock_guard lock{mutex_};
    if (sessions_.erase(uuid) != 0) {
        const auto length = lengths_.find(uuid.size());
        if (--length->second == 0) {
            lengths_.erase(length);
        }
    }
}

void session_directory::attach(const std::string& uuid, const std::shared_ptr<balancer::worker>& where, time_point now,
                               attach_done done)
{
    const std::lock_guard lock{mutex_};
    const auto found = sessions_.find(uuid);
    if (found != sessions_.end()) {
        ask(found->second, where, std::move(done));
        return;
    }
    const auto then = [where, done = std::move(done)](const entry* whom) {
        if (whom != nullptr) {
            ask(*whom, where, done);
        } else {
            done(attach_outcome::absent);
        }
    };
    waiting_.push_back({uuid, now + wait_time, then});
}

bool session_directory::here_or(const std::string& uuid, time_point now, std::function<void(bool)> then)
{
    const std::lock_guard lock{mutex_};
    if (sessions_.contains(uuid)) {
        return true;
    }
    waiting_.push_back({uuid, now + wait_time, [then = std::move(then)](const entry* whom) { then(whom != nullptr); }});
    return false;
}

void session_directory::expire(time_point now)
{
    std::vector<std::function<void(const entry*)>> given_up;
    {
        const std::lock_guard lock{mutex_};
        while (!waiting_.empty() && waiting_.front().deadline <= now) {
            given_up.push_back(std::move(waiting_.front().then));
            waiting_.pop_front();
        }
    }
    for (const auto& then : given_up) {
        then(nullptr);
    }
}

std::vector<std::string> session_directory::find_in(std::string_view bytes) const
{
    // A scan takes milliseconds for a large request: it works on a copy, not under the lock.
    std::vector<std::size_t> lengths;
    std::set<std::string, std::less<>> known;
    {
        const std::lock_guard lock{mutex_};
        for (const auto& [length, count] : lengths_) {
            lengths.push_back(length);
        }
        for (const auto& [uuid, whom] : sessions_) {
            known.insert(uuid);
        }
    }
    return buildkit::find_sessions(bytes, lengths, [&](std::string_view id) { return known.contains(id); });
}

std::string session_directory::shared_key_of(const std::vector<std::string>& uuids) const
{
    const std::lock_guard lock{mutex_};
    for (const auto& uuid : uuids) {
        const auto found = sessions_.find(uuid);
        if (found != sessions_.end() && !found->second.shared_key.empty()) {
            return found->second.shared_key;
        }
    }
    return {};
}

void session_directory::note_upload(const std::string& uuid)
{
    const std::lock_guard lock{mutex_};
    if (const auto found = sessions_.find(uuid); found != sessions_.end()) {
        found->second.uploaded = true;
    }
}

session_directory::standing session_directory::standing_of(const std::vector<std::string>& uuids) const
{
    standing now;
    const std::lock_guard lock{mutex_};
    for (const auto& uuid : uuids) {
        const auto found = sessions_.find(uuid);
        now.all_here = now.all_here && found != sessions_.end();
        now.uploaded = now.uploaded || (found != sessions_.end() && found->second.uploaded);
    }
    return now;
}

std::size_t session_directory::size() const
{
    const std::lock_guard lock{mutex_};
    return sessions_.size();
}

}  // namespace buildkit_lb::proxy
