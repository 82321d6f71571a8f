#include "proxy/buildkit/build_record.hpp"

#include <utility>

namespace buildkit_lb::proxy {

void build_record::status_message(std::string_view message)
{
    const std::lock_guard lock{mutex_};
    // A message that is none is the client's to complain about: it passes on as it is.
    (void)status_.feed(message, std::chrono::system_clock::now());
}

buildkit::status_totals build_record::totals() const
{
    const std::lock_guard lock{mutex_};
    return status_.totals();
}

void build_record::status_opened()
{
    const std::lock_guard lock{mutex_};
    ++open_status_streams_;
}

void build_record::status_closed()
{
    std::function<void(bool)> then;
    {
        const std::lock_guard lock{mutex_};
        if (--open_status_streams_ == 0) {
            then = std::exchange(on_status_closed_, nullptr);
        }
    }
    if (then) {
        then(true);
    }
}

void build_record::when_status_closed(std::function<void(bool)> then)
{
    {
        const std::lock_guard lock{mutex_};
        if (open_status_streams_ != 0) {
            on_status_closed_ = std::move(then);
            return;
        }
    }
    then(true);
}

std::shared_ptr<build_record> build_registry::add(const std::string& ref)
{
    auto made = std::make_shared<build_record>();
    made->ref = ref;
    const std::lock_guard lock{mutex_};
    builds_[ref] = made;
    return made;
}

void build_registry::remove(const std::string& ref)
{
    const std::lock_guard lock{mutex_};
    builds_.erase(ref);
}

std::shared_ptr<build_record> build_registry::find(const std::string& ref) const
{
    const std::lock_guard lock{mutex_};
    const auto found = builds_.find(ref);
    return found != builds_.end() ? found->second : nullptr;
}

std::size_t build_registry::size() const
{
    const std::lock_guard lock{mutex_};
    return builds_.size();
}

}  // namespace buildkit_lb::proxy
