#pragma once

#include <string>
#include <string_view>

namespace buildkit_lb::buildkit {

/// URLs of repositories and files as clients write them, made comparable and fit to be shown. Nothing that these return
/// holds the credentials of a URL. Pure; any thread.

/// Where a repository or a file is: the same text however its URL is written. No scheme, user, default port, query,
/// fragment or `.git`, the host in lower case; `git@host:team/app.git` is `host/team/app`, `file:///srv/app.git` is
/// `/srv/app`. With ssh:// and git:// no port at all: the repository's web address has another. Empty when it is
/// neither a URL (http, https, ssh, git, file) nor `user@host:path`, and when what stands for the port is none: such a
/// text may be cut anywhere in a password.
std::string normalized_url(std::string_view url);

/// What `git remote` may hold: in addition `host:path` and a path of the client's machine. Never empty unless the text
/// is, or is a malformed URL.
std::string normalized_remote(std::string_view remote);

/// The text with the user, password, query and fragment of each URL in it left out, of whatever scheme.
std::string without_credentials(std::string_view text);

}  // namespace buildkit_lb::buildkit
