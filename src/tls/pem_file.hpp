#pragma once

#include <boost/system/result.hpp>
#include <string>

namespace buildkit_lb::tls {

/// What is wrong with a file that a `tls` section names.
struct file_problem {
    std::string key;   ///< of the section, for example `client_ca`
    std::string text;  ///< names the file and the remedy
};
[[noreturn]] void throw_exception_from_error(const file_problem& p, const boost::source_location& where);

template <class T>
using loaded = boost::system::result<T, file_problem>;

/// Reads a PEM file whole, 1 MiB at most. The problem carries `key`.
loaded<std::string> read_pem_file(const std::string& key, const std::string& path);

}  // namespace buildkit_lb::tls
