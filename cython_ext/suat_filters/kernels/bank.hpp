// The channels whose readings are judged, one contiguous block of state each.
#pragma once

#include <mutex>

#include "kernels/channel.hpp"

namespace suat {

// Calls from several threads take turns.
class Bank {
public:
    size_t size() const { return kind.size(); }
    const uint32_t* kinds() const { return kind.data(); }

    // Another row of the table of settings.
    void admit(const Settings& settings) {
        const std::lock_guard<std::mutex> turn(one_at_a_time);
        table.push_back(settings);
    }

    // `more` channels; which[i] is the row of the settings of channel i of them.
    void grow(const uint32_t* which, size_t more) {
        const std::lock_guard<std::mutex> turn(one_at_a_time);
        size_t needed = memory.size();
        for (size_t i = 0; i < more; ++i) {
            SUAT_CHECK(which[i] < table.size());
            needed += units_of(which[i]);
        }
        if (needed > std::numeric_limits<uint32_t>::max()) throw std::bad_alloc();
        reserve(memory, needed);  // whatever can fail for want of memory fails before anything has changed
        reserve(place, place.size() + more);
        reserve(kind, kind.size() + more);
        for (size_t i = 0; i < more; ++i) {
            place.push_back(static_cast<uint32_t>(memory.size()));
            kind.push_back(which[i]);
            memory.resize(memory.size() + units_of(which[i]));
            channel(size() - 1).reset();
        }
    }

    void reset(size_t i) {
        const std::lock_guard<std::mutex> turn(one_at_a_time);
        channel(i).reset();
    }

    uint16_t push(size_t i, double t, double x, double& value) {
        const std::lock_guard<std::mutex> turn(one_at_a_time);
        return channel(i).push(t, x, value);
    }

    // False, and nothing done, when one of the channels does not exist.
    bool push_many(const int64_t* which, const double* t, const double* x, double* values, uint16_t* flags, size_t n) {
        const std::lock_guard<std::mutex> turn(one_at_a_time);
        for (size_t i = 0; i < n; ++i)
            if (which[i] < 0 || static_cast<uint64_t>(which[i]) >= size()) return false;
        for (size_t i = 0; i < n; ++i) {
            if (i + AHEAD < n) fetch(static_cast<size_t>(which[i + AHEAD]));
            flags[i] = channel(static_cast<size_t>(which[i])).push(t[i], x[i], values[i]);
        }
        return true;
    }

    // Whether there are revisions to be taken.
    bool revised() const { return !revisions.empty(); }

    Revisions take_revisions() {
        const std::lock_guard<std::mutex> turn(one_at_a_time);
        Revisions taken;
        taken.swap(revisions);
        return taken;
    }

    // Saved form of the states: each channel's State and the ring of its window. The sorted window follows from it.
    size_t saved_bytes(uint32_t row) const { return kept_of(table[row].window); }

    size_t saved_bytes() const {
        size_t bytes = 0;
        for (const uint32_t row : kind) bytes += saved_bytes(row);
        return bytes;
    }

    void save(unsigned char* to) {
        const std::lock_guard<std::mutex> turn(one_at_a_time);
        for (size_t i = 0; i < size(); ++i) {
            std::memcpy(to, block(i), saved_bytes(kind[i]));
            to += saved_bytes(kind[i]);
        }
    }

    // False when a state could not have been saved by us; the bank must then be thrown away.
    bool load(const unsigned char* from) {
        const std::lock_guard<std::mutex> turn(one_at_a_time);
        for (size_t i = 0; i < size(); ++i) {
            std::memcpy(block(i), from, saved_bytes(kind[i]));
            from += saved_bytes(kind[i]);
            if (!channel(i).restore()) return false;
        }
        return true;
    }

    // All that the channels take, for each of them and for their state.
    size_t bytes() const { return memory.size() * sizeof(Unit) + size() * (sizeof(uint32_t) * 2); }

private:
    static constexpr size_t AHEAD = 4;  // readings: by then the state has come from memory

    struct alignas(32) Unit {  // blocks begin where a vector may
        unsigned char bytes[32];
    };

    size_t units_of(uint32_t row) const { return (bytes_of(table[row].window) + sizeof(Unit) - 1) / sizeof(Unit); }

    unsigned char* block(size_t i) { return memory[place[i]].bytes; }

    void fetch(size_t i) {
        const unsigned char* at = block(i);
        const size_t end = bytes_of(table[kind[i]].window);
        for (size_t line = 0; line < end && line < 640; line += 64) __builtin_prefetch(at + line, 1);
    }

    Channel channel(size_t i) {
        SUAT_CHECK(i < kind.size());
        return Channel(block(i), table[kind[i]], static_cast<uint32_t>(i), revisions);
    }

    // At least doubled, so that channels which come one by one are not moved each time.
    template <class T>
    static void reserve(std::vector<T>& of, size_t needed) {
        if (needed > of.capacity()) of.reserve(of.empty() ? needed : std::max(needed, 2 * of.capacity()));
    }

    std::vector<Unit> memory;
    std::vector<uint32_t> place, kind;
    std::vector<Settings> table;
    Revisions revisions;
    std::mutex one_at_a_time;
};

}  // namespace suat
