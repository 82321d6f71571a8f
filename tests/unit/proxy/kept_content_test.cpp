#include "proxy/buildkit/kept_content.hpp"

#include <catch2/catch.hpp>

using namespace buildkit_lb;
using proxy::kept_content;

TEST_CASE("kept content stays within its client's budget, the newest of it")
{
    std::atomic<std::size_t> all{0};
    buildkit::recording_budget budget{100, 0, &all};
    {
        kept_content kept{budget};
        kept.keep("a", std::string(39, 'a'));
        kept.keep("a", std::string(39, 'a'));
        kept.keep("b", std::string(39, 'b'));
        REQUIRE(kept.find("a") != nullptr);
        CHECK(*kept.find("b") == std::string(39, 'b'));
        CHECK(budget.used == 80);
        kept.keep("c", std::string(39, 'c'));
        CHECK(kept.find("a") == nullptr);
        CHECK(kept.find("c") != nullptr);
        CHECK(all == 80);

        // What does not fit at all leaves nothing behind, and neither does what others have left no room for.
        kept.keep("large", std::string(100, 'l'));
        CHECK(kept.find("large") == nullptr);
        CHECK(all == 0);
        budget.add(90);
        kept.keep("d", std::string(39, 'd'));
        CHECK(kept.find("d") == nullptr);
        budget.remove(90);
        kept.keep("e", std::string(39, 'e'));
        CHECK(all == 40);
    }
    CHECK(all == 0);
}
