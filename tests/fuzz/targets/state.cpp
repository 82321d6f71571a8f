#include <string>
#include <vector>

#include "state/codec.hpp"
#include "support/require.hpp"
#include "support/targets.hpp"

namespace buildkit_lb::fuzz {
namespace {

std::string encoded(const std::vector<state::saved_pool>& pools)
{
    state::encoder e;
    std::string text = e.begin(state::wall_time{});
    for (const state::saved_pool& pool : pools) {
        text += e.begin_pool(pool.name);
        for (const state::saved_key& k : pool.keys) {
            text += e.key(k);
        }
        text += e.end_pool(pool.addresses, pool.drained);
    }
    return text + e.end();
}

}  // namespace

void state(std::string_view input)
{
    const auto pools = state::decode(input);
    if (!pools) {
        require(!pools.error().text.empty(), "a complaint says what is wrong");
        return;
    }
    const std::string written = encoded(*pools);
    const auto again = state::decode(written);
    require(again.has_value(), "what is written can be read");
    require(encoded(*again) == written, "and says the same");
}

}  // namespace buildkit_lb::fuzz
