#include "buildkit/waiting_lines.hpp"

namespace buildkit_lb::buildkit {

std::string waiting_lines::update(std::string_view title, const std::optional<place>& where, wall_time since,
                                  wall_time now)
{
    std::string out;
    if (!step_ || title_ != title) {
        out = end(now);
        title_ = title;
        since_ = since;
        told_.reset();
        step_.emplace(ref_, "waiting:" + title_, title_);
        out += step_->open(since);
    }
    if (where && (told_ != where || now - told_at_ >= repeat)) {
        told_ = where;
        told_at_ = now;
        const std::string text = "position " + std::to_string(where->position) + " of " + std::to_string(where->length);
        out += step_->rows({{text, since_, std::nullopt}}, now);
    }
    return out;
}

std::string waiting_lines::end(wall_time now, std::string_view error)
{
    if (!step_) {
        return {};
    }
    std::string out = step_->completed(now, {}, error);
    step_.reset();
    return out;
}

}  // namespace buildkit_lb::buildkit
