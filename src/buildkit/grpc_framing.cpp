#include "buildkit/grpc_framing.hpp"

#include <algorithm>
#include <cassert>

namespace buildkit_lb::buildkit {

std::array<char, message_header_size> message_header(std::size_t length, bool compressed)
{
    assert(length <= UINT32_MAX);
    return {static_cast<char>(compressed ? 1 : 0), static_cast<char>(length >> 24U & 0xffU),
            static_cast<char>(length >> 16U & 0xffU), static_cast<char>(length >> 8U & 0xffU),
            static_cast<char>(length & 0xffU)};
}

std::string framed(std::string_view payload, bool compressed)
{
    const auto header = message_header(payload.size(), compressed);
    std::string out;
    out.reserve(header.size() + payload.size());
    out.append(header.data(), header.size());
    out.append(payload);
    return out;
}

message_scanner::message_scanner(failure_source side, std::size_t max_message) : side_{side}, max_message_{max_message}
{
}

result<std::optional<message_scanner::piece>> message_scanner::next(std::string_view& chunk)
{
    if (failed_) {
        return failure{errc::protocol, side_, false, "a gRPC message after a malformed one"};
    }
    if (header_filled_ < header_.size()) {
        const std::size_t taken = std::min(header_.size() - header_filled_, chunk.size());
        std::copy_n(chunk.data(), taken, header_.data() + header_filled_);
        chunk.remove_prefix(taken);
        header_filled_ += taken;
        if (header_filled_ < header_.size()) {
            return std::optional<piece>{};
        }
        length_ = 0;
        for (std::size_t i = 1; i < header_.size(); ++i) {
            length_ = length_ << 8U | static_cast<unsigned char>(header_[i]);
        }
        if (header_[0] != 0 && header_[0] != 1) {
            failed_ = true;
            return failure{errc::protocol, side_, false, "a gRPC message whose compression flag is neither 0 nor 1"};
        }
        if (length_ > max_message_) {
            failed_ = true;
            return failure{errc::too_large, side_, false,
                           "a gRPC message of " + std::to_string(length_) + " bytes: at most " +
                               std::to_string(max_message_) + " are taken"};
        }
        left_ = length_;
        started_ = false;
    }
    if (left_ > 0 && chunk.empty()) {
        return std::optional<piece>{};
    }
    piece p;
    p.bytes = chunk.substr(0, left_);
    p.length = length_;
    p.compressed = header_[0] == 1;
    p.first = !started_;
    chunk.remove_prefix(p.bytes.size());
    left_ -= p.bytes.size();
    started_ = true;
    p.last = left_ == 0;
    if (p.last) {
        header_filled_ = 0;
        ++messages_;
    }
    return std::optional{p};
}

message_reader::message_reader(failure_source side, std::size_t max_message) : scanner_{side, max_message} {}

result<std::optional<grpc_message>> message_reader::next(std::string_view& chunk)
{
    while (!chunk.empty()) {
        const auto piece = scanner_.next(chunk);
        if (!piece) {
            std::string{}.swap(partial_);
            return piece.error();
        }
        if (!*piece) {
            continue;
        }
        partial_.append((*piece)->bytes);
        if ((*piece)->last) {
            std::optional<grpc_message> message{std::in_place};
            message->payload.swap(partial_);
            message->compressed = (*piece)->compressed;
            return message;
        }
    }
    return std::optional<grpc_message>{};
}

}  // namespace buildkit_lb::buildkit
