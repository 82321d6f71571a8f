#include "config/words.hpp"

#include <algorithm>

namespace buildkit_lb::config {
namespace {

constexpr std::size_t longest_quote = 60;
constexpr std::size_t longest_compared = 64;  // no key or name that people mistype is longer

}  // namespace

std::string one_line(std::string_view text)
{
    std::string out{text};
    for (char& c : out) {
        if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
            c = '?';
        }
    }
    return out;
}

std::string in_quotes(std::string_view text)
{
    return "'" + one_line(text.substr(0, longest_quote)) + (text.size() > longest_quote ? "…'" : "'");
}

std::string joined(std::span<const std::string_view> words)
{
    std::string out;
    for (std::size_t i = 0; i < words.size(); ++i) {
        if (i > 0) {
            out += i + 1 == words.size() ? " or " : ", ";
        }
        out += words[i];
    }
    return out;
}

std::size_t edit_distance(std::string_view a, std::string_view b)
{
    // Three rows of the matrix are alive at a time: a swap looks back two.
    std::vector<std::size_t> before(b.size() + 1);
    std::vector<std::size_t> previous(b.size() + 1);
    std::vector<std::size_t> current(b.size() + 1);
    for (std::size_t j = 0; j <= b.size(); ++j) {
        previous[j] = j;
    }
    for (std::size_t i = 1; i <= a.size(); ++i) {
        current[0] = i;
        for (std::size_t j = 1; j <= b.size(); ++j) {
            const std::size_t replace = previous[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
            current[j] = std::min({previous[j] + 1, current[j - 1] + 1, replace});
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
                current[j] = std::min(current[j], before[j - 2] + 1);
            }
        }
        std::swap(before, previous);
        std::swap(previous, current);
    }
    return previous[b.size()];
}

std::string_view nearest(std::string_view word, std::span<const std::string_view> candidates)
{
    if (word.size() > longest_compared) {
        return {};
    }
    std::string_view best;
    std::size_t best_distance = std::max<std::size_t>(1, word.size() / 3) + 1;
    for (const std::string_view candidate : candidates) {
        if (candidate.size() > longest_compared || candidate == word) {
            continue;
        }
        const std::size_t distance = edit_distance(word, candidate);
        // A short word that shares no letter with the candidate is not near, however few letters it takes.
        if (distance < best_distance && distance < candidate.size()) {
            best = candidate;
            best_distance = distance;
        }
    }
    return best;
}

std::string suggestion(std::string_view word, std::span<const std::string_view> candidates)
{
    const std::string_view near = nearest(word, candidates);
    return near.empty() ? std::string{} : " (did you mean " + in_quotes(near) + "?)";
}

}  // namespace buildkit_lb::config
