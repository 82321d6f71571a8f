#pragma once

#include <boost/system/result.hpp>
#include <cstdint>
#include <string>
#include <string_view>

namespace buildkit_lb {

/// What went wrong on the data path, coarse enough to be a metric label.
enum class errc : std::uint8_t {
    refused,
    unreachable,
    timed_out,
    reset,
    closed,
    resolve_failed,
    no_worker,
    no_match,
    protocol,
    tls,
    too_large,
    too_many,
    canceled,
    internal,
};

/// The label of `code` in logs and metrics, for example `timed_out`.
std::string_view to_string(errc code);

/// Which side of the balancer a failure came from.
enum class failure_source : std::uint8_t { downstream, upstream, internal };
std::string_view to_string(failure_source source);

/// Why an operation of the data path failed.
struct failure {
    errc code = errc::internal;
    failure_source source = failure_source::internal;
    bool retryable = false;  ///< another worker may do better, and nothing was sent that can't be sent again
    std::string detail;      ///< for people: one line, no trailing punctuation
};

/// The outcome of an operation of the data path.
template <class T>
using result = boost::system::result<T, failure>;

/// Thrown by checked<T>::value() when there is none: a broken invariant, never what a peer sent.
[[noreturn]] void throw_exception_from_error(const failure& f, const boost::source_location& where);

/// Why a text was not accepted. A type of its own, so that a checked<std::string> is not ambiguous.
struct complaint {
    std::string text;
};
[[noreturn]] void throw_exception_from_error(const complaint& c, const boost::source_location& where);

/// A checked value or what is wrong with the text it was read from.
template <class T>
using checked = boost::system::result<T, complaint>;

}  // namespace buildkit_lb
