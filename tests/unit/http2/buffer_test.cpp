#include "core/buffer.hpp"

#include <catch2/catch.hpp>
#include <cstring>
#include <string>

using namespace buildkit_lb;

TEST_CASE("Slices keep their block alive and share its bytes")
{
    buffer_slice whole;
    {
        const buffer_block block = buffer_block::make(10);
        std::memcpy(block.bytes().data(), "0123456789", 10);
        whole = buffer_slice{block, 0, 10};
        CHECK(block.references() == 2);
        CHECK_FALSE(block.unique());
    }
    buffer_slice part = whole.subslice(2, 5);
    CHECK(part.view() == "23456");
    CHECK(part.data() == whole.data() + 2);
    part.remove_prefix(1);
    part.remove_suffix(2);
    CHECK(part.view() == "34");
    const buffer_slice front = whole.take_prefix(3);
    CHECK(front.view() == "012");
    CHECK(whole.view() == "3456789");
    const buffer_slice moved = std::move(whole);
    CHECK(whole.empty());
    CHECK(moved.subslice(moved.span().subspan(1, 2)).view() == "45");
}

TEST_CASE("Slices that continue each other are joined, others are not")
{
    const buffer_slice whole = buffer_slice::copy_of("abcdef");
    buffer_slice left = whole.subslice(0, 2);
    CHECK(left.join(whole.subslice(2, 2)));
    CHECK(left.view() == "abcd");
    CHECK_FALSE(left.join(whole.subslice(5, 1)));
    CHECK_FALSE(left.join(buffer_slice::copy_of("ef")));
    buffer_slice none;
    CHECK_FALSE(none.join(whole));
}

TEST_CASE("A block of the pool comes back to it and is used again")
{
    const std::byte* first = nullptr;
    {
        const buffer_block block = buffer_block::make(buffer_block::read_block_size);
        first = block.bytes().data();
    }
    const buffer_block again = buffer_block::make(buffer_block::read_block_size);
    CHECK(again.bytes().data() == first);
    CHECK(again.unique());
}

TEST_CASE("A small slice of a large block is copied before it is kept, a large one is not")
{
    const buffer_block block = buffer_block::make(buffer_block::read_block_size);
    std::memset(block.bytes().data(), 'x', block.capacity());
    buffer_slice small{block, 100, 50};
    small.compact();
    CHECK(small.view() == std::string(50, 'x'));
    CHECK(block.unique());

    buffer_slice large{block, 0, 40000};
    large.compact();
    CHECK(large.data() == block.bytes().data());

    buffer_slice exact = buffer_slice::copy_of("small");
    const std::byte* const where = exact.data();
    exact.compact();
    CHECK(exact.data() == where);
}
