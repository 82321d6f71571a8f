// What libFuzzer calls, for the target that CMake names.
#include <cstddef>
#include <cstdint>

#include "support/targets.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size)
{
    buildkit_lb::fuzz::FUZZ_TARGET({reinterpret_cast<const char*>(data), size});
    return 0;
}
