#include "proxy/receive_proxy_header.hpp"

#include <boost/asio/error.hpp>
#include <cerrno>
#include <sys/socket.h>
#include <utility>
#include <vector>

namespace buildkit_lb::proxy {

namespace asio = boost::asio;

namespace {

// How many bytes are looked at in one go. Headers of version 1 and ordinary ones of version 2 are shorter.
constexpr std::size_t step = 256;

failure failed(errc code, std::string detail)
{
    const bool canceled = code == errc::canceled;
    return {code, canceled ? failure_source::internal : failure_source::downstream, false, std::move(detail)};
}

}  // namespace

asio::awaitable<result<proxy_header>> receive_proxy_header(stream_socket& from, time_point deadline)
{
    boost::system::error_code error;
    from.native_non_blocking(true, error);
    const int fd = from.native_handle();
    std::vector<std::byte> taken;
    for (;;) {
        // First only looked at: what follows the header is for others.
        const auto before = taken.size();
        taken.resize(before + step);
        const auto seen = ::recv(fd, taken.data() + before, step, MSG_PEEK);
        const int failed_with = errno;
        taken.resize(before + (seen > 0 ? static_cast<std::size_t>(seen) : 0));
        if (seen == 0) {
            co_return failed(errc::closed, "the connection ended before its PROXY header was complete");
        }
        if (seen > 0) {
            const auto parsed = parse_proxy_header(taken);
            if (const auto* wrong = std::get_if<complaint>(&parsed)) {
                co_return failed(errc::protocol, wrong->text);
            }
            const auto* header = std::get_if<proxy_header>(&parsed);
            const std::size_t ours = header != nullptr ? header->size - before : static_cast<std::size_t>(seen);
            ::recv(fd, taken.data() + before, ours, 0);
            if (header != nullptr) {
                co_return *header;
            }
            continue;
        }
        if (failed_with == EINTR) {
            continue;
        }
        error.assign(failed_with, boost::system::system_category());
        if (failed_with == EAGAIN || failed_with == EWOULDBLOCK) {
            auto waiting = wait_ready(from, stream_socket::wait_read, deadline);
            error = co_await std::move(waiting);
        }
        if (error) {
            const errc code = classify(error);
            co_return failed(code, code == errc::timed_out ? "its PROXY header took too long"
                                                           : error.message() + " before its PROXY header was complete");
        }
    }
}

}  // namespace buildkit_lb::proxy
