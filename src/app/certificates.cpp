#include "app/certificates.hpp"

#include <stdexcept>
#include <sys/stat.h>

namespace buildkit_lb::app {
namespace {

/// Which file it is, and in which version. Links are followed: that is how files in containers are swapped.
std::string state_of(const std::string& path)
{
    struct stat found{};
    if (path.empty() || ::stat(path.c_str(), &found) != 0) {
        return "-;";
    }
    std::string text;
    for (const auto part : {static_cast<std::int64_t>(found.st_dev), static_cast<std::int64_t>(found.st_ino),
                            static_cast<std::int64_t>(found.st_size), std::int64_t{found.st_mtim.tv_sec},
                            std::int64_t{found.st_mtim.tv_nsec}}) {
        text += std::to_string(part) + ",";
    }
    return text + ";";
}

std::string state_of(const tls::server_files& files)
{
    return state_of(files.cert) + state_of(files.key) + state_of(files.client_ca) + state_of(files.client_crl);
}

std::string state_of(const tls::client_files& files)
{
    return state_of(files.ca) + state_of(files.cert) + state_of(files.key);
}

/// The entry of `name` among `before`, if its files are the same and unchanged, else one that `make` makes.
template <class Made, class Files, class Make>
Made taken_over_or(const std::map<std::string, Made>& before, const std::string& name, const std::string& of,
                   const Files& files, Make make)
{
    // Before the files are read: a change meanwhile is seen the next time.
    std::string state = state_of(files);
    const auto known = before.find(name);
    if (known != before.end() && known->second.files == files && known->second.state == state) {
        return known->second;
    }
    auto context = make(files);
    if (!context) {
        throw std::runtime_error(of + ": tls." + context.error().key + ": " + context.error().text);
    }
    return {files, std::move(state), std::move(*context)};
}

template <class Made>
auto find(const std::map<std::string, Made>& among, const std::string& name)
{
    const auto found = among.find(name);
    return found == among.end() ? decltype(found->second.context){} : found->second.context;
}

}  // namespace

certificates::certificates(const config::root& settings, const certificates& before)
{
    for (const auto& l : settings.listeners) {
        if (l.tls) {
            const auto speaks =
                l.protocol == config::protocol::buildkit ? tls::inner_protocol::http2 : tls::inner_protocol::any;
            const auto make = [&](const tls::server_files& files) { return tls::server_context::make(files, speaks); };
            listeners_[l.name] = taken_over_or(before.listeners_, l.name, "listener " + l.name, *l.tls, make);
        }
    }
    for (const auto& p : settings.pools) {
        if (p.tls) {
            pools_[p.name] = taken_over_or(before.pools_, p.name, "pool " + p.name, *p.tls, &tls::client_context::make);
        }
    }
}

certificates::server_ptr certificates::of_listener(const std::string& name) const
{
    return find(listeners_, name);
}

certificates::client_ptr certificates::of_pool(const std::string& name) const
{
    return find(pools_, name);
}

std::string certificates::files_state(const config::root& settings)
{
    std::string all;
    for (const auto& l : settings.listeners) {
        all += l.tls ? state_of(*l.tls) : "";
    }
    for (const auto& p : settings.pools) {
        all += p.tls ? state_of(*p.tls) : "";
    }
    return all;
}

}  // namespace buildkit_lb::app
