#include "config/section.hpp"

#include <yaml-cpp/yaml.h>

namespace buildkit_lb::config {
namespace {

int line_of(const YAML::Node& node)
{
    return node.Mark().line + 1;
}

/// What was found, for a node that has the wrong kind.
std::string kind_of(const YAML::Node& node)
{
    switch (node.Type()) {
        case YAML::NodeType::Scalar: return "the value " + in_quotes(node.Scalar());
        case YAML::NodeType::Sequence: return "a list";
        case YAML::NodeType::Map: return "a map";
        case YAML::NodeType::Null:
        case YAML::NodeType::Undefined: break;
    }
    return "nothing";
}

std::string wrong_kind(const YAML::Node& node, std::string_view allowed)
{
    return "found " + kind_of(node) + "; allowed: " + std::string{allowed};
}

}  // namespace

section::section(reading& in, const YAML::Node& node, std::string path, std::string pattern, int line)
    : in_{&in}, path_{std::move(path)}, pattern_{std::move(pattern)}, line_{line}
{
    if (!node.IsDefined()) {
        return;
    }
    if (!node.IsMap()) {
        in_->report(line_, path_, wrong_kind(node, "a map"));
        return;
    }
    there_ = true;
    for (const auto& pair : node) {
        add_entry(pair.first, pair.second);
    }
}

void section::add_entry(const YAML::Node& key, const YAML::Node& value)
{
    const int line = line_of(key);
    if (!key.IsScalar()) {
        in_->report(line, path_, "found " + kind_of(key) + " as a key; allowed: words");
        return;
    }
    const std::string& word = key.Scalar();
    const auto [same, is_new] = index_.emplace(word, entries_.size());
    if (!is_new) {
        const entry& first = entries_[same->second];
        in_->report(line, first.path, "is already set on line " + std::to_string(first.line));
        return;
    }
    entries_.push_back({.key = word, .path = path_of(word), .pattern = pattern_of(word), .line = line, .value = value});
    in_->locate(entries_.back().path, line);
}

void section::finish()
{
    for (const entry& e : entries_) {
        if (e.asked_for) {
            continue;
        }
        std::string message = "is not a known key";
        if (e.key == "<<") {
            message += ": merge keys are not supported";
        } else if (const std::string_view near = nearest(e.key, known_); !near.empty()) {
            message += " (did you mean " + in_quotes(near) + "?)";
            // A misspelt key is not a missing one too.
            std::erase_if(missing_, [&](const auto& m) { return m.first == near; });
        } else {
            message += "; allowed: " + joined(known_);
        }
        // The key may hold anything: in_quotes() keeps it on one line.
        const std::string shown = in_quotes(e.key);
        in_->report(e.line, path_of(shown.substr(1, shown.size() - 2)), message);
    }
    for (const auto& [key, message] : missing_) {
        in_->report(line_, path_of(key), message);
    }
}

void section::labels(std::string_view key, label_map& out)
{
    const std::string allowed = "a map such as {disk: ssd}, or a text such as disk=ssd,zone=a";
    describe(key, allowed, "none");
    const entry* found = take(key, false, {});
    if (!found) {
        return;
    }
    out.clear();
    if (found->value.IsScalar()) {
        auto all = parse_labels(found->value.Scalar());
        if (all) {
            out = std::move(*all);
        } else {
            report_value(*found, all.error(), allowed);
        }
        return;
    }
    if (!found->value.IsMap()) {
        in_->report(found->line, found->path, wrong_kind(found->value, allowed));
        return;
    }
    for (const auto& item : found->value) {
        const int line = line_of(item.first);
        if (!item.first.IsScalar() || !item.second.IsScalar()) {
            in_->report(line, found->path,
                        "found something else than a text as a label or its value; allowed: " + allowed);
            continue;
        }
        auto label = checked_label(item.first.Scalar(), item.second.Scalar());
        if (!label) {
            in_->report(line, found->path, label.error().text + "; allowed: " + allowed);
        } else if (!out.insert(*label).second) {
            in_->report(line, found->path, "names " + in_quotes(label->first) + " twice");
        }
    }
}

std::string section::path_of(std::string_view key) const
{
    return path_.empty() ? std::string{key} : path_ + "." + std::string{key};
}

std::string section::pattern_of(std::string_view key) const
{
    return pattern_.empty() ? std::string{key} : pattern_ + "." + std::string{key};
}

bool section::has(std::string_view key) const
{
    return index_.contains(std::string{key});
}

void section::describe(std::string_view key, std::string allowed, std::string default_text) const
{
    if (in_->keys()) {
        in_->keys()->push_back({pattern_of(key), std::move(allowed), std::move(default_text)});
    }
}

const section::entry* section::take(std::string_view key, bool required, std::string_view allowed)
{
    known_.push_back(key);
    if (!there_) {
        return nullptr;
    }
    if (const auto found = index_.find(std::string{key}); found != index_.end()) {
        entry& e = entries_[found->second];
        e.asked_for = true;
        return &e;
    }
    if (required) {
        missing_.emplace_back(key, "is missing; allowed: " + std::string{allowed});
    }
    return nullptr;
}

section section::open(const entry& e) const
{
    return {*in_, e.value, e.path, e.pattern, e.line};
}

section section::absent(std::string_view key) const
{
    return {*in_, YAML::Node{YAML::NodeType::Undefined}, path_of(key), pattern_of(key), line_};
}

std::vector<section::entry> section::items(const entry& e, std::string_view allowed) const
{
    std::vector<entry> out;
    if (!e.value.IsSequence()) {
        in_->report(e.line, e.path, wrong_kind(e.value, allowed));
        return out;
    }
    if (e.value.size() == 0) {
        in_->report(e.line, e.path, "found an empty list; allowed: " + std::string{allowed} + ", at least one");
    }
    for (const YAML::Node& item : e.value) {
        const std::string path = e.path + "[" + std::to_string(out.size()) + "]";
        // The mark of an empty item is that of whatever follows.
        const int line = item.IsNull() ? e.line : line_of(item);
        out.push_back({.key = {}, .path = path, .pattern = e.pattern + "[]", .line = line, .value = item});
        in_->locate(path, line);
    }
    return out;
}

std::optional<scalar> section::as_scalar(const entry& e, const std::string& allowed) const
{
    if (!e.value.IsScalar()) {
        in_->report(e.line, e.path, wrong_kind(e.value, allowed));
        return std::nullopt;
    }
    // yaml-cpp gives every scalar in quotes the tag "!".
    return scalar{.text = e.value.Scalar(), .quoted = e.value.Tag() == "!"};
}

void section::report_value(const entry& e, const complaint& why, const std::string& allowed) const
{
    in_->report(e.line, e.path, why.text + "; allowed: " + allowed);
}

}  // namespace buildkit_lb::config
