#include "core/failure.hpp"

#include <catch2/catch.hpp>
#include <set>

namespace buildkit_lb {
namespace {

TEST_CASE("every error code and source has a label of its own")
{
    std::set<std::string_view> labels;
    for (int code = 0; code <= static_cast<int>(errc::internal); ++code) {
        const std::string_view label = to_string(static_cast<errc>(code));
        CHECK_FALSE(label.empty());
        // A label is part of a metric: words joined by underscores.
        CHECK(label.find_first_not_of("abcdefghijklmnopqrstuvwxyz_") == std::string_view::npos);
        labels.insert(label);
    }
    CHECK(labels.size() == static_cast<std::size_t>(errc::internal) + 1);
    CHECK(to_string(errc::timed_out) == "timed_out");
    CHECK(to_string(failure_source::downstream) == "downstream");
    CHECK(to_string(failure_source::upstream) == "upstream");
    CHECK(to_string(failure_source::internal) == "internal");
}

TEST_CASE("asking a failed result for its value throws what went wrong")
{
    const result<int> failed = failure{.code = errc::refused, .detail = "w1 refused"};
    CHECK_THROWS_WITH(failed.value(), "unchecked failure: w1 refused");
    const checked<int> wrong = complaint{"'x' is not a number"};
    CHECK_THROWS_WITH(wrong.value(), "unchecked complaint: 'x' is not a number");
    const checked<int> right = 3;
    CHECK(right.value() == 3);
}

}  // namespace
}  // namespace buildkit_lb
