#pragma once

#include <string_view>

/// The fuzz targets. Each takes any bytes, and calls std::abort() (see require()) where something does not hold that
/// must hold for all of them. No I/O, no state from one call to the next.
namespace buildkit_lb::fuzz {

/// Keys of builds: no credentials in them, normalised URLs stay as they are.
void affinity(std::string_view input);
/// Several workers' answers made into one; histories; refs of results.
void answers(std::string_view input);
/// The names in a certificate (DER).
void certificates(std::string_view input);
/// A configuration file.
void config(std::string_view input);
/// Messages of a gRPC body in pieces, compressed ones, statuses.
void grpc(std::string_view input);
/// What a worker sends, to an engine in the client role. The input is a script, see http2_frames.hpp.
void http2_client(std::string_view input);
/// The same on both sides of relays.
void http2_relay(std::string_view input);
/// What a client sends, to an engine in the server role.
void http2_server(std::string_view input);
/// Header blocks with long values: what is cut out and put back is what a plain HPACK decoder reads.
void large_headers(std::string_view input);
/// The PROXY header before a connection, versions 1 and 2.
void proxy_header(std::string_view input);
/// Requests of clients: Control/Solve, LLBBridge/Solve, and those that only name something.
void solve(std::string_view input);
/// The state file.
void state(std::string_view input);
/// The Status stream of a worker.
void status(std::string_view input);
/// The bytes of a session tunnel and the HTTP/2 inside it, in either role.
void tunnel(std::string_view input);

}  // namespace buildkit_lb::fuzz
