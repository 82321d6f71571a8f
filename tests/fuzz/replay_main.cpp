// Calls one target with every file of a folder: `fuzz_replay TARGET FOLDER`. What does not hold ends the process.
#include <algorithm>
#include <array>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>
#include <utility>

#include "support/targets.hpp"

namespace {

using namespace buildkit_lb;

using target = void (*)(std::string_view);
constexpr std::array<std::pair<std::string_view, target>, 14> targets{{
    {"affinity", fuzz::affinity},
    {"answers", fuzz::answers},
    {"certificates", fuzz::certificates},
    {"config", fuzz::config},
    {"grpc", fuzz::grpc},
    {"http2_client", fuzz::http2_client},
    {"http2_relay", fuzz::http2_relay},
    {"http2_server", fuzz::http2_server},
    {"large_headers", fuzz::large_headers},
    {"proxy_header", fuzz::proxy_header},
    {"solve", fuzz::solve},
    {"state", fuzz::state},
    {"status", fuzz::status},
    {"tunnel", fuzz::tunnel},
}};

}  // namespace

int main(int argc, char** argv)
{
    const auto found = std::find_if(targets.begin(), targets.end(),
                                    [&](const auto& t) { return argc == 3 && t.first == std::string_view{argv[1]}; });
    if (found == targets.end()) {
        std::fputs("usage: fuzz_replay TARGET FOLDER\n", stderr);
        return 2;
    }
    int inputs = 0;
    for (const auto& entry : std::filesystem::recursive_directory_iterator{argv[2]}) {
        if (!entry.is_regular_file()) {
            continue;
        }
        std::ifstream file{entry.path(), std::ios::binary};
        const std::string input{std::istreambuf_iterator<char>{file}, {}};
        std::fprintf(stderr, "%s\n", entry.path().c_str());  // the last one is the culprit
        found->second(input);
        ++inputs;
    }
    std::printf("%s: %d inputs\n", argv[1], inputs);
    return inputs > 0 ? 0 : 1;
}
