#pragma once

#include <boost/asio/ip/tcp.hpp>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "support/balancer.hpp"
#include "support/h2_peer.hpp"

/// Scripted ends of BuildKit's protocol around a balancer under test. Workers and clients do what the test says and
/// nothing else, but for two things a real worker does by itself: it begins to speak in a session's tunnel, and it ends
/// a session that the client has ended.
namespace buildkit_lb::test {

inline constexpr std::string_view solve_path = "/moby.buildkit.v1.Control/Solve";
inline constexpr std::string_view status_path = "/moby.buildkit.v1.Control/Status";
inline constexpr std::string_view session_path = "/moby.buildkit.v1.Control/Session";
inline constexpr std::string_view ping_path = "/moby.buildkit.v1.frontend.LLBBridge/Ping";
inline constexpr std::string_view llb_solve_path = "/moby.buildkit.v1.frontend.LLBBridge/Solve";
inline constexpr std::string_view llb_return_path = "/moby.buildkit.v1.frontend.LLBBridge/Return";

class fake_worker {
public:
    /// `port` 0: a free one.
    explicit fake_worker(peers_thread& peers, std::uint16_t port = 0);
    fake_worker(const fake_worker&) = delete;
    fake_worker& operator=(const fake_worker&) = delete;

    endpoint address() const { return address_; }

    /// Every call received, on whichever connection, in the order in which they began. Sessions are not among them.
    const std::vector<grpc_stream*>& calls() const { return calls_; }
    /// The `index`-th call of `path`; nullptr while there is none.
    grpc_stream* call(std::string_view path, std::size_t index = 0) const;
    /// The live and ended sessions that were offered, in order.
    const std::vector<tunnel_end*>& sessions() const { return sessions_; }
    /// The `index`-th session of that uuid; nullptr while there is none.
    tunnel_end* session(std::string_view uuid, std::size_t index = 0) const;

    /// Connections that are open now.
    std::size_t connections() const;
    /// Resets every connection; new ones are accepted.
    void cut();
    /// Says GOAWAY on every connection; what runs there goes on.
    void go_away();
    /// Takes connections and says nothing on them before resume(), as a process that is stopped.
    void hang();
    void resume();
    /// Refuses new connections from now on.
    void refuse();
    /// Closes everything, politely.
    void close();
    bool ended() const { return connections() == 0; }

    /// Called with each call once its request is complete.
    std::function<void(grpc_stream&)> on_call;
    /// Does not end a session when the client has ended it.
    bool keeps_sessions = false;

private:
    boost::asio::awaitable<void> accept();
    void serve(boost::asio::ip::tcp::socket connection);
    void begin(h2_peer& on, grpc_stream& stream);

    peers_thread& peers_;
    boost::asio::ip::tcp::acceptor acceptor_;
    endpoint address_;
    std::vector<grpc_stream*> calls_;
    std::vector<tunnel_end*> sessions_;
    std::deque<std::unique_ptr<h2_peer>> connections_;
    bool hangs_ = false;
    std::vector<boost::asio::ip::tcp::socket> unserved_;
};

/// What a Control/Solve of a test says.
struct build {
    std::string ref;
    std::string session;
    std::vector<std::string> shared_sessions{};
    bool internal = false;
    bool linked = false;
    std::string trace{};  // the trace id of its invocation, 32 hex digits
};

class fake_client {
public:
    fake_client(peers_thread& peers, const endpoint& balancer);

    grpc_stream& solve(const build& what);
    grpc_stream& status(const std::string& ref);
    /// A call of LLBBridge for the build `ref`.
    grpc_stream& bridge(std::string_view path, const std::string& ref, std::string_view message = {});
    /// Opens a session and serves HTTP/2 in it.
    tunnel_end& session(const std::string& uuid, const fields& more = {});

    h2_peer& connection() { return peer_; }

private:
    h2_peer peer_;
};

/// A LLBBridge/Solve whose inputs name a source of the session `uuid`, as those of a linked build do.
std::string bridge_solve_naming(const std::string& uuid);

/// A session id as BuildKit makes them, with `number` in it.
std::string session_id(int number);

/// Workers, a balancer in front of them, and clients. Ends in that order's reverse, while the peers go on running.
class buildkit_stage {
public:
    explicit buildkit_stage(std::size_t worker_count, balancer_settings settings = {});
    buildkit_stage(const buildkit_stage&) = delete;
    buildkit_stage& operator=(const buildkit_stage&) = delete;
    ~buildkit_stage();

    fake_client& client();

    template <class Condition>
    bool until(Condition condition, duration at_most = patience)
    {
        return peers.run_until(condition, at_most);
    }
    /// No build, call or session is held, known or counted any more.
    bool nothing_left();
    /// Cuts everything, while the peers go on running.
    void stop_balancer();

    peers_thread peers;
    std::deque<fake_worker> workers;
    std::optional<balancer_under_test> lb;
    std::deque<fake_client> clients;
};

}  // namespace buildkit_lb::test
