#pragma once

#include <fstream>
#include <sstream>
#include <string>
#include <string_view>

/// Texts that several tests of the configuration start from.
namespace buildkit_lb::config::testing {

/// The least that loads.
inline std::string minimal()
{
    return "listeners:\n"                                         // line 1
           "  - name: builds\n"                                   // line 2
           "    address: tcp://127.0.0.1:1234\n"                  // line 3
           "    protocol: tcp\n"                                  // line 4
           "    pool: default\n"                                  // line 5
           "pools:\n"                                             // line 6
           "  - name: default\n"                                  // line 7
           "    policy: round-robin\n"                            // line 8
           "    workers:\n"                                       // line 9
           "      - {name: w1, address: tcp://10.0.0.1:1234}\n";  // line 10
}

/// `text` with its line `number` (from 1) replaced by `line`, which may be several.
inline std::string with_line(const std::string& text, int number, std::string_view line)
{
    std::istringstream in{text};
    std::string out;
    std::string current;
    for (int i = 1; std::getline(in, current); ++i) {
        out += i == number ? std::string{line} : current;
        out += '\n';
    }
    return out;
}

inline std::string read_file(const std::string& name)
{
    std::ifstream in{name, std::ios::binary};
    std::ostringstream out;
    out << in.rdbuf();
    return out.str();
}

}  // namespace buildkit_lb::config::testing
