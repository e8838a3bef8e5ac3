// The channels whose readings are judged, one contiguous block of state each.
#pragma once

#include <mutex>

#include "kernels/channel.hpp"

namespace suat {

// All channels. Calls from several threads take turns.
class Bank {
public:
    size_t size() const { return kind.size(); }
    size_t kinds() const { return table.size(); }
    const Settings* settings() const { return table.data(); }
    const uint32_t* kind_of() const { return kind.data(); }

    // `more` channels; channel i of them has settings number which[i] of `added` (which may repeat what is known).
    void grow(const Settings* added, size_t n_added, const uint32_t* which, size_t more) {
        const std::lock_guard<std::mutex> turn(one_at_a_time);
        const uint32_t first = static_cast<uint32_t>(table.size());
        size_t bytes = memory.size();
        for (size_t i = 0; i < more; ++i) {
            SUAT_CHECK(which[i] < n_added);
            bytes += bytes_of(added[which[i]].window);
        }
        memory.reserve(bytes);  // whatever can fail for want of memory fails before anything has changed
        offset.reserve(offset.size() + more);
        kind.reserve(kind.size() + more);
        table.insert(table.end(), added, added + n_added);
        for (size_t i = 0; i < more; ++i) {
            offset.push_back(memory.size());
            kind.push_back(first + which[i]);
            memory.resize(memory.size() + bytes_of(added[which[i]].window));
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
        for (size_t i = 0; i < n; ++i) flags[i] = channel(static_cast<size_t>(which[i])).push(t[i], x[i], values[i]);
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
    size_t saved_bytes() const {
        size_t bytes = 0;
        for (const uint32_t k : kind) bytes += sizeof(State) + sizeof(double) * static_cast<size_t>(table[k].window);
        return bytes;
    }

    void save(unsigned char* to) {
        const std::lock_guard<std::mutex> turn(one_at_a_time);
        for (size_t i = 0; i < size(); ++i) {
            const size_t bytes = sizeof(State) + sizeof(double) * static_cast<size_t>(table[kind[i]].window);
            std::memcpy(to, memory.data() + offset[i], bytes);
            to += bytes;
        }
    }

    // False when a state could not have been saved by us; the bank must then be thrown away.
    bool load(const unsigned char* from) {
        for (size_t i = 0; i < size(); ++i) {
            Channel c = channel(i);
            const int w = c.p.window;
            const size_t bytes = sizeof(State) + sizeof(double) * static_cast<size_t>(w);
            std::memcpy(memory.data() + offset[i], from, bytes);
            from += bytes;
            if (!c.sound()) return false;
            std::copy(c.ring, c.ring + w, c.sorted);
            std::sort(c.sorted, c.sorted + w);
        }
        return true;
    }

private:
    Channel channel(size_t i) {
        SUAT_CHECK(i < kind.size());
        return Channel(memory.data() + offset[i], table[kind[i]], static_cast<uint32_t>(i), revisions);
    }

    std::vector<unsigned char> memory;
    std::vector<size_t> offset;
    std::vector<uint32_t> kind;
    std::vector<Settings> table;
    Revisions revisions;
    std::mutex one_at_a_time;
};

}  // namespace suat
