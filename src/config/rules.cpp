#include "config/rules.hpp"

#include <algorithm>

#include "config/readers.hpp"
#include "config/words.hpp"

namespace buildkit_lb::config {
namespace {

std::string indexed(std::string_view list, std::size_t index)
{
    return std::string{list} + "[" + std::to_string(index) + "]";
}

template <class Named>
void check_names(const std::vector<Named>& all, std::string_view list, reading& in)
{
    for (std::size_t i = 0; i < all.size(); ++i) {
        const auto first = std::find_if(all.begin(), all.end(), [&](const Named& n) { return n.name == all[i].name; });
        const auto at = static_cast<std::size_t>(first - all.begin());
        if (at < i && !all[i].name.empty()) {
            const std::string other = indexed(list, at);
            in.report(indexed(list, i) + ".name", in_quotes(all[i].name) + " is already the name of " + other +
                                                      " (line " + std::to_string(in.line_of(other + ".name")) + ")");
        }
    }
}

void check_pools_exist(const root& r, reading& in)
{
    std::vector<std::string_view> names;
    names.reserve(r.pools.size());
    for (const pool& p : r.pools) {
        names.emplace_back(p.name);
    }
    if (names.empty() || std::find(names.begin(), names.end(), std::string_view{}) != names.end()) {
        return;  // reported already; the name may be meant for the pool that could not be read
    }
    const auto check = [&](const std::string& wanted, const std::string& path) {
        if (!wanted.empty() && std::find(names.begin(), names.end(), wanted) == names.end()) {
            in.report(path, "there is no pool " + in_quotes(wanted) + suggestion(wanted, names) +
                                "; allowed: " + joined(names));
        }
    };
    for (std::size_t i = 0; i < r.listeners.size(); ++i) {
        const std::string path = indexed("listeners", i);
        check(r.listeners[i].pool, path + ".pool");
        for (std::size_t j = 0; j < r.listeners[i].hosts.size(); ++j) {
            check(r.listeners[i].hosts[j].pool, path + "." + indexed("hosts", j) + ".pool");
        }
    }
}

/// Clients of `l` may get to `p`.
bool leads_to(const listener& l, const pool& p)
{
    return l.pool == p.name ||
           std::any_of(l.hosts.begin(), l.hosts.end(), [&](const host_pool& h) { return h.pool == p.name; });
}

void check_listener_routing(const root& r, reading& in)
{
    for (std::size_t i = 0; i < r.listeners.size(); ++i) {
        const listener& l = r.listeners[i];
        const std::string path = indexed("listeners", i);
        for (std::size_t j = 0; j < l.hosts.size(); ++j) {
            for (std::size_t k = 0; k < j; ++k) {
                if (!l.hosts[j].host.empty() && l.hosts[j].host == l.hosts[k].host) {
                    in.report(path + "." + indexed("hosts", j) + ".host",
                              in_quotes(l.hosts[j].host) + " has a pool already, on line " +
                                  std::to_string(in.line_of(path + "." + indexed("hosts", k) + ".host")));
                }
            }
        }
        if (l.protocol == protocol::tcp && !l.hosts.empty() && !l.tls) {
            in.report(path + ".hosts",
                      "needs protocol buildkit, or tls: without it a tcp listener does not see what name was dialled");
        }
        if (l.protocol == protocol::tcp && !l.require.empty()) {
            in.report(path + ".require", "needs protocol buildkit; with tcp make a pool of those workers");
        }
    }
}

void check_proxies_before(const root& r, reading& in)
{
    for (std::size_t i = 0; i < r.listeners.size(); ++i) {
        const listener& l = r.listeners[i];
        const std::string path = indexed("listeners", i) + ".proxy_from";
        const bool expected = l.proxy_protocol == proxy_protocol::v1v2;
        if (expected && l.address.type == endpoint::kind::tcp && !in.has(path)) {
            in.report(path, "is missing: whoever may send a PROXY header may claim any address; allowed: a list of " +
                                network{}.allowed());
        }
        if (!expected && !l.proxy_from.empty()) {
            in.report(path, "needs proxy_protocol: v1v2");
        }
    }
}

void check_proxies_behind(const root& r, reading& in)
{
    for (std::size_t i = 0; i < r.pools.size(); ++i) {
        const pool& p = r.pools[i];
        const std::string path = indexed("pools", i) + ".send_proxy";
        if (p.send_proxy == send_proxy::off) {
            continue;
        }
        const auto user = std::find_if(r.listeners.begin(), r.listeners.end(), [&](const listener& l) {
            return l.protocol == protocol::buildkit && leads_to(l, p);
        });
        if (user != r.listeners.end()) {
            in.report(path, "needs protocol tcp: with buildkit, as " +
                                indexed("listeners", static_cast<std::size_t>(user - r.listeners.begin())) +
                                " has it, connections to workers are the balancer's own");
        }
        if (p.health_check.type == probe_type::buildkit || p.health_check.type == probe_type::grpc) {
            in.report(path, "needs health_check.type tcp or off: the other checks send no PROXY header");
        }
    }
}

bool is_set(const endpoint& e)
{
    return !e.host.empty() || !e.path.empty();
}

bool is_v6(const endpoint& e)
{
    return e.host.find(':') != std::string::npos;
}

/// True when both can't be listened on at once: the same address, or all addresses of the machine against one of them.
bool collide(const endpoint& a, const endpoint& b)
{
    if (a == b) {
        return is_set(a) && (a.type == endpoint::kind::unix_socket || a.port != 0);
    }
    if (a.type != endpoint::kind::tcp || b.type != endpoint::kind::tcp || a.port != b.port || a.port == 0) {
        return false;
    }
    const auto is_any = [](const endpoint& e) { return e.host == "0.0.0.0" || e.host == "::"; };
    return is_v6(a) == is_v6(b) && (is_any(a) || is_any(b));
}

void check_addresses(const root& r, reading& in)
{
    for (std::size_t i = 0; i < r.listeners.size(); ++i) {
        const endpoint& mine = r.listeners[i].address;
        const std::string path = indexed("listeners", i) + ".address";
        for (std::size_t j = 0; j < i; ++j) {
            const std::string other = indexed("listeners", j) + ".address";
            if (collide(r.listeners[j].address, mine)) {
                in.report(path, in_quotes(mine.to_string()) + " is already taken by " + other + " (line " +
                                    std::to_string(in.line_of(other)) + ")");
                break;
            }
        }
        if (collide(r.admin.address, mine)) {
            in.report(path, in_quotes(mine.to_string()) + " is already taken by admin.address, " +
                                in_quotes(r.admin.address.to_string()));
        }
    }
}

void check_admin(const root& r, reading& in)
{
    if (!r.admin.address.is_loopback() && r.admin.token_file.empty()) {
        in.report("admin.address", in_quotes(r.admin.address.to_string()) +
                                       " can be reached from other machines: that requires admin.token_file; allowed "
                                       "without: an address of this machine only, such as tcp://127.0.0.1:9090 or "
                                       "unix:///PATH");
    }
}

void check_affinity(const root& r, reading& in)
{
    for (std::size_t i = 0; i < r.pools.size(); ++i) {
        const auto& keys = r.pools[i].affinity.keys;
        if (std::find(keys.begin(), keys.end(), "tls-client") == keys.end()) {
            continue;
        }
        const bool known = std::any_of(r.listeners.begin(), r.listeners.end(), [&](const listener& l) {
            return leads_to(l, r.pools[i]) && l.tls && !l.tls->client_ca.empty();
        });
        if (!known) {
            in.report(indexed("pools", i) + ".affinity.keys",
                      "'tls-client' needs a listener of this pool whose tls.client_ca demands certificates");
        }
    }
}

void check_tls(const root& r, reading& in)
{
    for (std::size_t i = 0; i < r.listeners.size(); ++i) {
        const auto& tls = r.listeners[i].tls;
        const std::string path = indexed("listeners", i) + ".tls";
        if (tls && tls->client_ca.empty() && !tls->client_crl.empty()) {
            in.report(path + ".client_crl", "needs client_ca: without it no certificate is asked for");
        }
        if (tls && tls->client_ca.empty() && !tls->allow_names.empty()) {
            in.report(path + ".allow_names", "needs client_ca: without it no certificate is asked for");
        }
    }
    for (std::size_t i = 0; i < r.pools.size(); ++i) {
        const auto& tls = r.pools[i].tls;
        if (tls && tls->cert.empty() != tls->key.empty()) {
            const bool lacks_key = tls->key.empty();
            in.report(indexed("pools", i) + (lacks_key ? ".tls.key" : ".tls.cert"),
                      lacks_key ? "is missing: cert needs its key" : "is missing: key needs its cert");
        }
    }
}

void check_workers(const root& r, reading& in)
{
    for (std::size_t i = 0; i < r.pools.size(); ++i) {
        const std::string path = indexed("pools", i);
        if (in.has(path + ".name") && !in.has(path + ".workers") && !in.has(path + ".discovery")) {
            in.report(path + ".workers", "is missing; allowed: a list of maps, or discovery in its place");
        }
    }
}

void check_queues(const root& r, reading& in)
{
    for (std::size_t i = 0; i < r.pools.size(); ++i) {
        if (r.pools[i].queue.when_empty == when_empty::wait && r.pools[i].health_check.type == probe_type::off) {
            in.report(indexed("pools", i) + ".queue.when_empty",
                      "'wait' needs a health_check to find the worker that comes up: allowed with "
                      "health_check.type 'off': fail");
        }
    }
}

}  // namespace

void check_rules(const root& r, reading& in)
{
    check_names(r.listeners, "listeners", in);
    check_names(r.pools, "pools", in);
    for (std::size_t i = 0; i < r.pools.size(); ++i) {
        check_names(r.pools[i].workers, indexed("pools", i) + ".workers", in);
    }
    check_pools_exist(r, in);
    check_addresses(r, in);
    check_admin(r, in);
    check_listener_routing(r, in);
    check_proxies_before(r, in);
    check_proxies_behind(r, in);
    check_workers(r, in);
    check_affinity(r, in);
    check_tls(r, in);
    check_queues(r, in);
}

}  // namespace buildkit_lb::config
