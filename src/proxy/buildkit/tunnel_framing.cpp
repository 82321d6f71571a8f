#include "proxy/buildkit/tunnel_framing.hpp"

#include <algorithm>

namespace buildkit_lb::proxy {
namespace {

constexpr std::uint64_t data_field_tag = (1U << 3U) | 2U;  // BytesMessage.data: field 1, length-delimited

}  // namespace

bool tunnel_reader::read(buffer_slice input, std::vector<buffer_slice>& out)
{
    while (!input.empty()) {
        const auto byte = static_cast<unsigned char>(input.view().front());
        switch (state_) {
            case expecting::header:
                header_[header_filled_++] = byte;
                input.remove_prefix(1);
                if (header_filled_ == header_.size()) {
                    header_filled_ = 0;
                    if (header_[0] != 0) {
                        return false;  // compressed: BuildKit's programs never do that here
                    }
                    message_left_ = (std::uint64_t{header_[1]} << 24U) | (std::uint64_t{header_[2]} << 16U) |
                                    (std::uint64_t{header_[3]} << 8U) | header_[4];
                    field_done();
                }
                break;
            case expecting::tag:
            case expecting::varint:
            case expecting::length:
                input.remove_prefix(1);
                if (message_left_ == 0 || shift_ > 63) {
                    return false;
                }
                --message_left_;
                number_ |= std::uint64_t{byte & 0x7fU} << shift_;
                shift_ += 7;
                if ((byte & 0x80U) != 0) {
                    if (message_left_ == 0) {
                        return false;
                    }
                    break;
                }
                shift_ = 0;
                if (state_ == expecting::tag) {
                    if (!start_field(std::exchange(number_, 0))) {
                        return false;
                    }
                } else if (state_ == expecting::varint) {
                    number_ = 0;
                    field_done();
                } else {
                    field_left_ = std::exchange(number_, 0);
                    if (field_left_ > message_left_) {
                        return false;
                    }
                    state_ = field_is_data_ ? expecting::bytes : expecting::skipped;
                    if (field_left_ == 0) {
                        field_done();
                    }
                }
                break;
            case expecting::bytes:
            case expecting::skipped: {
                const auto count = static_cast<std::size_t>(std::min<std::uint64_t>(field_left_, input.size()));
                buffer_slice part = input.take_prefix(count);
                field_left_ -= count;
                message_left_ -= count;
                if (state_ == expecting::bytes) {
                    out.push_back(std::move(part));
                }
                if (field_left_ == 0) {
                    field_done();
                }
                break;
            }
        }
    }
    return true;
}

bool tunnel_reader::start_field(std::uint64_t tag)
{
    field_is_data_ = tag == data_field_tag;
    switch (tag & 7U) {
        case 0: state_ = expecting::varint; break;
        case 1:
            field_left_ = 8;
            state_ = expecting::skipped;
            break;
        case 2: state_ = expecting::length; break;
        case 5:
            field_left_ = 4;
            state_ = expecting::skipped;
            break;
        default: return false;
    }
    // A field that has no room left in its message.
    return message_left_ > 0 && (state_ != expecting::skipped || field_left_ <= message_left_);
}

void tunnel_reader::field_done()
{
    state_ = message_left_ == 0 ? expecting::header : expecting::tag;
}

buffer_slice tunnel_message_head(std::size_t count)
{
    std::array<char, 16> head{};
    std::array<char, 10> varint{};
    std::size_t varint_size = 0;
    for (std::size_t rest = count; rest != 0 || varint_size == 0; rest >>= 7U) {
        varint[varint_size++] = static_cast<char>((rest & 0x7fU) | (rest > 0x7f ? 0x80U : 0U));
    }
    const std::size_t length = 1 + varint_size + count;
    for (unsigned i = 0; i < 4; ++i) {
        head[1 + i] = static_cast<char>((length >> (24U - 8U * i)) & 0xffU);
    }
    head[5] = static_cast<char>(data_field_tag);
    std::copy_n(varint.begin(), varint_size, head.begin() + 6);
    return buffer_slice::copy_of(std::string_view{head.data(), 6 + varint_size});
}

}  // namespace buildkit_lb::proxy
