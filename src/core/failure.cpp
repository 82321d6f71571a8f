#include "core/failure.hpp"

#include <stdexcept>

namespace buildkit_lb {

std::string_view to_string(errc code)
{
    switch (code) {
        case errc::refused: return "refused";
        case errc::unreachable: return "unreachable";
        case errc::timed_out: return "timed_out";
        case errc::reset: return "reset";
        case errc::closed: return "closed";
        case errc::resolve_failed: return "resolve_failed";
        case errc::no_worker: return "no_worker";
        case errc::no_match: return "no_match";
        case errc::protocol: return "protocol";
        case errc::tls: return "tls";
        case errc::too_large: return "too_large";
        case errc::too_many: return "too_many";
        case errc::canceled: return "canceled";
        case errc::internal: break;
    }
    return "internal";
}

std::string_view to_string(failure_source source)
{
    switch (source) {
        case failure_source::downstream: return "downstream";
        case failure_source::upstream: return "upstream";
        case failure_source::internal: break;
    }
    return "internal";
}

void throw_exception_from_error(const failure& f, const boost::source_location&)
{
    throw std::logic_error("unchecked failure: " + f.detail);
}

void throw_exception_from_error(const complaint& c, const boost::source_location&)
{
    throw std::logic_error("unchecked complaint: " + c.text);
}

}  // namespace buildkit_lb
