#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>
#include <yaml-cpp/node/node.h>

#include "config/readers.hpp"
#include "config/reading.hpp"
#include "core/labels.hpp"

namespace buildkit_lb::config {

/// One map of the file while the schema reads it. It knows its path, finds its keys, reports what is wrong with them,
/// and at the end reports keys that the schema did not ask for. A section that is not there (or is not a map, which
/// has been reported) reads nothing and complains of nothing. Used on the stack by schema.cpp only.
class section {
public:
    /// The map `node`, found under `path` at `line`. `pattern` is the path without indices.
    section(reading& in, const YAML::Node& node, std::string path, std::string pattern, int line);

    /// Reports the keys that were not asked for, and those that must be there and are not.
    void finish();

    /// Reads a key into `out`, which holds its default.
    template <class T, class Reader>
    void optional(std::string_view key, T& out, const Reader& reader)
    {
        describe(key, reader.allowed(), reader.text(out));
        if (const entry* found = take(key, false, {})) {
            read_value(*found, out, reader);
        }
    }

    /// The same for a key that must be there.
    template <class T, class Reader>
    void required(std::string_view key, T& out, const Reader& reader)
    {
        describe(key, reader.allowed(), "required");
        if (const entry* found = take(key, true, reader.allowed())) {
            read_value(*found, out, reader);
        }
    }

    /// A key that may be left out and has no default value.
    template <class T, class Reader>
    void unset(std::string_view key, T& out, const Reader& reader)
    {
        describe(key, reader.allowed(), "none");
        if (const entry* found = take(key, false, {})) {
            read_value(*found, out, reader);
        }
    }

    /// A list of values, at least one. Replaces the default as a whole.
    template <class T, class Reader>
    void values(std::string_view key, std::vector<T>& out, const Reader& reader)
    {
        std::string defaults;
        for (const T& value : out) {
            defaults += (defaults.empty() ? "" : ", ") + reader.text(value);
        }
        describe(key, "a list of " + reader.allowed(), "[" + defaults + "]");
        const entry* found = take(key, false, {});
        if (!found) {
            return;
        }
        out.clear();
        for (const entry& item : items(*found, "a list of values")) {
            read_value(item, out.emplace_back(), reader);
        }
    }

    /// A section below this one that may be left out. `read` is the schema of it.
    template <class T>
    void map(std::string_view key, T& out, void (*read)(section&, T&))
    {
        describe(key, "a map", "");
        const entry* found = take(key, false, {});
        section inner = found ? open(*found) : absent(key);
        read(inner, out);
        inner.finish();
    }

    /// The same where the section being there means something.
    template <class T>
    void map(std::string_view key, std::optional<T>& out, void (*read)(section&, T&))
    {
        T value;
        map(key, value, read);
        if (has(key)) {
            out = std::move(value);
        }
    }

    /// Labels: a map of texts, or one text such as `disk=ssd,zone=a`.
    void labels(std::string_view key, label_map& out);

    /// A list of sections; if it is there it is not empty.
    template <class T>
    void list(std::string_view key, std::vector<T>& out, void (*read)(section&, T&), bool required = true)
    {
        describe(key, "a list of maps, not empty", required ? "required" : "none");
        const entry* found = take(key, required, "a list of maps");
        if (!found) {
            // Read nothing, only let the schema describe itself.
            T sample;
            section inner = absent(std::string{key} + "[]");
            read(inner, sample);
            return;
        }
        for (const entry& item : items(*found, "a list of maps")) {
            section inner = open(item);
            read(inner, out.emplace_back());
            inner.finish();
        }
    }

private:
    struct entry {
        std::string key;
        std::string path;
        std::string pattern;
        int line = 0;
        YAML::Node value;
        bool asked_for = false;
    };

    std::string path_of(std::string_view key) const;
    std::string pattern_of(std::string_view key) const;
    bool has(std::string_view key) const;
    void describe(std::string_view key, std::string allowed, std::string default_text) const;

    void add_entry(const YAML::Node& key, const YAML::Node& value);
    /// The entry of `key`, if any; where it must be there and is not, notes that.
    const entry* take(std::string_view key, bool required, std::string_view allowed);
    section open(const entry& e) const;
    section absent(std::string_view key) const;
    /// The elements of a list, as entries; nothing when it is no list or empty (which is reported).
    std::vector<entry> items(const entry& e, std::string_view allowed) const;
    std::optional<scalar> as_scalar(const entry& e, const std::string& allowed) const;
    void report_value(const entry& e, const complaint& why, const std::string& allowed) const;

    template <class T, class Reader>
    void read_value(const entry& e, T& out, const Reader& reader) const
    {
        const auto found = as_scalar(e, reader.allowed());
        if (!found) {
            return;
        }
        auto value = reader.read(*found);
        if (!value) {
            report_value(e, value.error(), reader.allowed());
            return;
        }
        out = std::move(*value);
    }

    reading* in_;
    std::string path_;
    std::string pattern_;
    int line_;
    bool there_ = false;
    std::vector<entry> entries_;                          // in order of the file
    std::unordered_map<std::string, std::size_t> index_;  // key → position in entries_
    std::vector<std::string_view> known_;
    std::vector<std::pair<std::string_view, std::string>> missing_;  // key, message; reported by finish()
};

}  // namespace buildkit_lb::config
