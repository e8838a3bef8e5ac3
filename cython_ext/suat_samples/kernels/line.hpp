// A line of InfluxDB's line protocol while it is written. Numbers look as Python's repr writes them.
#pragma once

#include <charconv>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <string>

namespace suat {

class Line {
public:
    void clear() { out_.clear(); }
    const char* data() const { return out_.data(); }
    std::size_t size() const { return out_.size(); }

    void text(const char* bytes, std::size_t size) { out_.append(bytes, size); }
    void text(const std::string& words) { out_.append(words); }
    void mark(char sign) { out_.push_back(sign); }

    void whole(std::int64_t value) {
        char digits[24];
        const auto end = std::to_chars(digits, digits + sizeof digits, value).ptr;
        out_.append(digits, static_cast<std::size_t>(end - digits));
    }

    // False, and nothing written, where repr would use an exponent or write no number at all.
    bool real(double value) {
        if (value == last_ && (value != 0.0 || std::signbit(value) == std::signbit(last_))) {  // sent and cleaned alike
            out_.append(digits_, length_);
            return true;
        }
        const double size = std::fabs(value);
        if (!(size == 0.0 || (size >= 1e-4 && size < 1e15))) return false;
        const auto end = std::to_chars(digits_, digits_ + sizeof digits_, value, std::chars_format::fixed).ptr;
        length_ = static_cast<std::size_t>(end - digits_);
        if (!std::memchr(digits_, '.', length_)) {
            digits_[length_++] = '.';
            digits_[length_++] = '0';
        }
        out_.append(digits_, length_);
        last_ = value;
        return true;
    }

private:
    std::string out_;
    double last_ = NAN;
    char digits_[48];
    std::size_t length_ = 0;
};

}  // namespace suat
