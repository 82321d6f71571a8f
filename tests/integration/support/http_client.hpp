#pragma once

#include <algorithm>
#include <array>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/write.hpp>
#include <cctype>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <sys/socket.h>
#include <sys/time.h>

namespace buildkit_lb::test {

struct http_answer {
    int status = 0;
    std::map<std::string, std::string> headers;  ///< names in lower case
    std::string body;
};

/// A blocking HTTP/1.1 client that sends exactly the bytes it is told to. Reads give up after ten seconds.
class http_client {
public:
    explicit http_client(const boost::asio::generic::stream_protocol::endpoint& server) : socket_{context_}
    {
        socket_.connect(server);
        const timeval limit{10, 0};
        ::setsockopt(socket_.native_handle(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    }

    void send(std::string_view bytes)
    {
        boost::system::error_code ignored;  // the server may have closed already; the answer tells
        boost::asio::write(socket_, boost::asio::buffer(bytes), ignored);
    }

    http_answer get(const std::string& target) { return ask("GET", target); }

    /// `headers` are whole lines, each with its end.
    http_answer ask(const std::string& method, const std::string& target, const std::string& headers = {})
    {
        send(method + " " + target + " HTTP/1.1\r\nHost: localhost\r\n" + headers + "\r\n");
        return receive(method == "HEAD").value_or(http_answer{});
    }

    /// The next answer; nullopt when the connection ended before it was complete.
    std::optional<http_answer> receive(bool head = false)
    {
        std::size_t end = 0;
        while ((end = received_.find("\r\n\r\n")) == std::string::npos) {
            if (!read_more()) {
                return std::nullopt;
            }
        }
        http_answer answer = parse_header(received_.substr(0, end + 2));
        received_.erase(0, end + 4);
        const auto length = answer.headers.find("content-length");
        const std::size_t size = head || length == answer.headers.end() ? 0 : std::stoul(length->second);
        while (received_.size() < size) {
            if (!read_more()) {
                return std::nullopt;
            }
        }
        answer.body = received_.substr(0, size);
        received_.erase(0, size);
        return answer;
    }

    /// True when an answer, or the end, has not come yet.
    bool nothing_yet()
    {
        char byte = 0;
        return received_.empty() && ::recv(socket_.native_handle(), &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0;
    }

    /// True when the server has closed its side and nothing more came.
    bool closed() { return received_.empty() && !read_more() && received_.empty(); }

private:
    static http_answer parse_header(std::string_view text)
    {
        http_answer answer;
        answer.status = std::stoi(std::string{text.substr(text.find(' ') + 1, 3)});
        text.remove_prefix(text.find("\r\n") + 2);
        while (!text.empty()) {
            const auto line = text.substr(0, text.find("\r\n"));
            const auto colon = line.find(": ");
            std::string name{line.substr(0, colon)};
            std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) { return std::tolower(c); });
            answer.headers[name] = line.substr(colon + 2);
            text.remove_prefix(line.size() + 2);
        }
        return answer;
    }

    bool read_more()
    {
        // Not Asio's read: that one waits in poll() and knows no SO_RCVTIMEO.
        std::array<char, 4096> into{};
        const auto size = ::recv(socket_.native_handle(), into.data(), into.size(), 0);
        if (size <= 0) {
            return false;
        }
        received_.append(into.data(), static_cast<std::size_t>(size));
        return true;
    }

    boost::asio::io_context context_;
    boost::asio::generic::stream_protocol::socket socket_;
    std::string received_;
};

}  // namespace buildkit_lb::test
