#include "tls/pem_file.hpp"

#include <cerrno>
#include <fstream>
#include <stdexcept>
#include <system_error>

namespace buildkit_lb::tls {
namespace {

constexpr std::size_t largest = 1U << 20;

}  // namespace

void throw_exception_from_error(const file_problem& p, const boost::source_location&)
{
    throw std::runtime_error(p.key + ": " + p.text);
}

loaded<std::string> read_pem_file(const std::string& key, const std::string& path)
{
    const auto problem = [&](const std::string& text) { return file_problem{key, "'" + path + "' " + text}; };
    errno = 0;
    std::ifstream in{path, std::ios::binary};
    std::string text(largest + 1, '\0');
    if (in) {
        in.read(text.data(), static_cast<std::streamsize>(text.size()));
    }
    // A directory opens, and fails when it is read.
    if (!in.is_open() || in.bad()) {
        return problem("can't be read: " + std::generic_category().message(errno));
    }
    text.resize(static_cast<std::size_t>(in.gcount()));
    if (text.size() > largest) {
        return problem("is larger than 1MiB: that is no PEM file of certificates or of a key");
    }
    if (text.find("-----BEGIN ") == std::string::npos) {
        return problem("holds no PEM block (-----BEGIN …): convert it with openssl x509 or openssl pkey");
    }
    return loaded<std::string>{boost::system::in_place_value, std::move(text)};
}

}  // namespace buildkit_lb::tls
