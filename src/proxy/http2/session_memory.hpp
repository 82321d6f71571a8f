#pragma once

#include <nghttp2/nghttp2.h>

namespace buildkit_lb::http2 {

/// Memory for nghttp2, which allocates a dozen small pieces for each call: they come from lists of the thread. Larger
/// ones, and all of them under AddressSanitizer, come from the heap. The returned object lives for ever.
nghttp2_mem* session_memory();

}  // namespace buildkit_lb::http2
