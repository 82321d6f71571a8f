#include "http2/header_list.hpp"

#include <algorithm>

namespace buildkit_lb::http2 {

header_list::header_list(std::initializer_list<std::pair<std::string_view, std::string_view>> fields)
{
    fields_.reserve(fields.size());
    for (const auto& [name, value] : fields) {
        add(name, value);
    }
}

void header_list::add(std::string_view name, std::string_view value, bool sensitive)
{
    const field f{static_cast<std::uint32_t>(text_.size()), static_cast<std::uint32_t>(name.size()),
                  static_cast<std::uint32_t>(value.size()), sensitive};
    text_.append(name);
    text_.append(value);
    fields_.push_back(f);
}

void header_list::set(std::string_view name, std::string_view value)
{
    const std::string copy{value};  // it may be a view into this list
    for (std::size_t i = 0; i < fields_.size(); ++i) {
        const header old = (*this)[i];
        if (old.name == name) {
            field& f = fields_[i];
            const std::uint32_t start = static_cast<std::uint32_t>(text_.size());
            // The new text goes to the end; what it replaces stays behind unused, which is fine for a few changes.
            text_.reserve(text_.size() + f.name_size + copy.size());
            text_.append(text_, f.offset, f.name_size);
            text_.append(copy);
            f.offset = start;
            f.value_size = static_cast<std::uint32_t>(copy.size());
            return;
        }
    }
    add(std::string{name}, copy);
}

std::size_t header_list::erase(std::string_view name)
{
    const std::string copy{name};
    return std::erase_if(fields_,
                         [&](const field& f) { return std::string_view{text_}.substr(f.offset, f.name_size) == copy; });
}

void header_list::clear()
{
    text_.clear();
    fields_.clear();
}

void header_list::reserve(std::size_t fields, std::size_t text)
{
    fields_.reserve(fields);
    text_.reserve(text);
}

header header_list::operator[](std::size_t index) const
{
    const field& f = fields_[index];
    const std::string_view all{text_};
    return {all.substr(f.offset, f.name_size), all.substr(f.offset + f.name_size, f.value_size), f.sensitive};
}

std::optional<std::string_view> header_list::find(std::string_view name) const
{
    for (const header h : *this) {
        if (h.name == name) {
            return h.value;
        }
    }
    return std::nullopt;
}

std::size_t header_list::wire_size() const
{
    std::size_t sum = 0;
    for (const field& f : fields_) {
        sum += f.name_size + f.value_size + std::size_t{32};
    }
    return sum;
}

bool header_list::operator==(const header_list& other) const
{
    return std::equal(begin(), end(), other.begin(), other.end(), [](const header& a, const header& b) {
        return a.name == b.name && a.value == b.value && a.sensitive == b.sensitive;
    });
}

}  // namespace buildkit_lb::http2
