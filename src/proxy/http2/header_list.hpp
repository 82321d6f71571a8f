#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <iterator>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace buildkit_lb::http2 {

/// One field of a header_list. The views are good until the list is changed or destroyed.
struct header {
    std::string_view name;
    std::string_view value;
    bool sensitive = false;  ///< never to be put in a compression table, here and by whoever passes it on
};

/// The fields of one header block in their order: pseudo fields first, repeated fields apart, empty values kept.
/// All text lies in one piece of memory, so a list costs two allocations whatever its length. A value type.
class header_list {
public:
    header_list() = default;
    header_list(std::initializer_list<std::pair<std::string_view, std::string_view>> fields);

    /// Appends a field. `name` is lower case.
    void add(std::string_view name, std::string_view value, bool sensitive = false);
    /// Replaces the value of the first field called `name`, or appends the field.
    void set(std::string_view name, std::string_view value);
    /// Removes all fields called `name`; how many there were.
    std::size_t erase(std::string_view name);
    void clear();
    void reserve(std::size_t fields, std::size_t text);

    bool empty() const { return fields_.empty(); }
    std::size_t size() const { return fields_.size(); }
    header operator[](std::size_t index) const;

    /// The value of the first field called `name`.
    std::optional<std::string_view> find(std::string_view name) const;
    /// The same, or an empty text where there is none.
    std::string_view get(std::string_view name) const { return find(name).value_or(std::string_view{}); }

    /// The size SETTINGS_MAX_HEADER_LIST_SIZE counts: names, values, and 32 bytes a field.
    std::size_t wire_size() const;

    bool operator==(const header_list& other) const;

    class iterator {
    public:
        using iterator_category = std::input_iterator_tag;
        using value_type = header;
        using difference_type = std::ptrdiff_t;
        using pointer = const header*;
        using reference = header;

        iterator() = default;
        iterator(const header_list& list, std::size_t index) : list_{&list}, index_{index} {}
        header operator*() const { return (*list_)[index_]; }
        iterator& operator++()
        {
            ++index_;
            return *this;
        }
        iterator operator++(int)
        {
            iterator before = *this;
            ++index_;
            return before;
        }
        bool operator==(const iterator& other) const { return index_ == other.index_; }

    private:
        const header_list* list_ = nullptr;
        std::size_t index_ = 0;
    };
    iterator begin() const { return {*this, 0}; }
    iterator end() const { return {*this, size()}; }

private:
    struct field {
        std::uint32_t offset;  // of the name in text_; the value follows it
        std::uint32_t name_size;
        std::uint32_t value_size;
        bool sensitive;
    };

    std::string text_;
    std::vector<field> fields_;
};

}  // namespace buildkit_lb::http2
