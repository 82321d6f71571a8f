#include "config/load.hpp"

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <optional>
#include <sstream>
#include <system_error>
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/yaml.h>

#include "config/certificates.hpp"
#include "config/rules.hpp"
#include "config/schema.hpp"
#include "config/token_file.hpp"
#include "config/words.hpp"

namespace buildkit_lb::config {
namespace {

constexpr std::size_t largest_file = 4U << 20;

load_result failed(std::string_view file, int line, std::string_view message)
{
    load_result out;
    out.problems.push_back({.file = std::string{file}, .line = line, .path = {}, .message = one_line(message)});
    return out;
}

void read_token(admin& of, reading& in)
{
    if (of.token_file.empty()) {
        return;
    }
    if (auto token = read_token_file(of.token_file)) {
        of.token = std::move(*token);
    } else {
        in.report("admin.token_file", in_quotes(of.token_file) + " " + token.error().text);
    }
}

load_result read(const YAML::Node& document, std::string_view file, named_files others)
{
    load_result out;
    reading in{file};
    section all{in, document, "", "", document.Mark().line + 1};
    if (document.IsMap()) {
        read_root(all, out.value);
        all.finish();
        check_rules(out.value, in);
        if (others == named_files::read) {
            read_token(out.value.admin, in);
            check_certificates(out.value, in);
        }
    }
    out.problems = in.take();
    if (out) {
        out.written = flatten(document);
    }
    return out;
}

/// Where a second document begins.
class document_start : public YAML::EventHandler {
public:
    std::optional<int> line;

    void OnDocumentStart(const YAML::Mark& mark) override { line = mark.line + 1; }
    void OnDocumentEnd() override {}
    void OnNull(const YAML::Mark&, YAML::anchor_t) override {}
    void OnAlias(const YAML::Mark&, YAML::anchor_t) override {}
    void OnScalar(const YAML::Mark&, const std::string&, YAML::anchor_t, const std::string&) override {}
    void OnSequenceStart(const YAML::Mark&, const std::string&, YAML::anchor_t, YAML::EmitterStyle::value) override {}
    void OnSequenceEnd() override {}
    void OnMapStart(const YAML::Mark&, const std::string&, YAML::anchor_t, YAML::EmitterStyle::value) override {}
    void OnMapEnd() override {}
};

/// The line on which anything follows the first document. YAML::LoadAll would do, but it never returns when what
/// follows is no document at all.
std::optional<int> second_document(const std::string& text)
{
    std::istringstream in{text};
    YAML::Parser parser{in};
    document_start first;
    document_start second;
    parser.HandleNextDocument(first);
    parser.HandleNextDocument(second);
    return second.line;
}

/// yaml-cpp's word for a tab in the indentation is hard to guess from.
std::string syntax_hint(std::string_view text, int line)
{
    for (int skipped = 1; skipped < line && !text.empty(); ++skipped) {
        text.remove_prefix(std::min(text.find('\n'), text.size() - 1) + 1);
    }
    const auto first = text.find_first_not_of(' ');
    return first != std::string_view::npos && text[first] == '\t' ? " (indent with spaces, not tabs)" : "";
}

load_result parse_text(std::string_view text, std::string_view file, named_files others)
{
    try {
        const std::string copy{text};
        const YAML::Node document = YAML::Load(copy);
        if (const auto second = second_document(copy)) {
            return failed(file, *second, "found more after the end of the document; allowed: one document");
        }
        if (document.IsNull()) {
            return failed(file, 1, "found nothing; allowed: a map with at least listeners and pools");
        }
        return read(document, file, others);
    } catch (const YAML::Exception& e) {
        const int line = std::max(e.mark.line + 1, 1);
        return failed(file, line, "is not valid YAML: " + e.msg + syntax_hint(text, line));
    } catch (const std::exception& e) {
        return failed(file, 0, std::string{"can't be read as YAML: "} + e.what());
    }
}

}  // namespace

std::string problem::to_string() const
{
    return file + (line > 0 ? ":" + std::to_string(line) : "") + ": " + (path.empty() ? "" : path + ": ") + message;
}

load_result parse(std::string_view text, std::string_view file)
{
    return parse_text(text, file, named_files::leave);
}

load_result load(const std::filesystem::path& file, named_files others)
{
    const auto unreadable = [&] {
        return failed(file.string(), 0, "can't be read: " + std::generic_category().message(errno));
    };
    errno = 0;
    std::ifstream in{file, std::ios::binary};
    if (!in) {
        return unreadable();
    }
    std::string text(largest_file + 1, '\0');
    in.read(text.data(), static_cast<std::streamsize>(text.size()));
    if (in.bad()) {
        return unreadable();
    }
    text.resize(static_cast<std::size_t>(in.gcount()));
    if (text.size() > largest_file) {
        return failed(file.string(), 0, "is larger than " + to_text(byte_count{largest_file}));
    }
    return parse_text(text, file.string(), others);
}

std::vector<key_info> reference()
{
    std::vector<key_info> keys;
    reading in{"", &keys};
    section all{in, YAML::Node{YAML::NodeType::Undefined}, "", "", 0};
    root defaults;
    read_root(all, defaults);
    return keys;
}

}  // namespace buildkit_lb::config
