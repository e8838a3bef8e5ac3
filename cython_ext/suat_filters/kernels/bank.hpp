// The channels whose readings are judged, one contiguous block of state each.
#pragma once

#include <algorithm>
#include <atomic>
#include <limits>
#include <mutex>
#include <new>
#include <vector>

#include "kernels/paths.hpp"
#include "kernels/state.hpp"

namespace suat {

// What was thought better of and has not been asked for yet.
struct Told final : Revisions {
    std::vector<Revision> list;
    std::atomic<bool> any{false};

    void add(const Revision& revision) override {
        list.push_back(revision);
        any.store(true, std::memory_order_relaxed);
    }
};

// Calls from several threads take turns.
class Bank {
public:
    // Before anything else: by what the readings are judged.
    void use(const Kernels* chosen) { kernels = chosen; }

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
            kernels->reset(blocks(), size() - 1);
        }
    }

    void reset(size_t i) {
        const std::lock_guard<std::mutex> turn(one_at_a_time);
        check(i);
        kernels->reset(blocks(), i);
    }

    uint16_t push(size_t i, double t, double x, double& value) {
        const std::lock_guard<std::mutex> turn(one_at_a_time);
        check(i);
        return kernels->judge(blocks(), i, t, x, value);
    }

    // False, and nothing done, when one of the channels does not exist.
    bool push_many(const int64_t* which, const double* t, const double* x, double* values, uint16_t* flags, size_t n) {
        const std::lock_guard<std::mutex> turn(one_at_a_time);
        for (size_t i = 0; i < n; ++i)
            if (which[i] < 0 || static_cast<uint64_t>(which[i]) >= size()) return false;
        kernels->judge_many(blocks(), which, t, x, values, flags, n);
        return true;
    }

    // Whether there are revisions to be taken.
    bool revised() const { return told.any.load(std::memory_order_relaxed); }

    std::vector<Revision> take_revisions() {
        const std::lock_guard<std::mutex> turn(one_at_a_time);
        std::vector<Revision> taken;
        taken.swap(told.list);
        told.any = false;
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
            if (!kernels->restore(blocks(), i)) return false;
        }
        return true;
    }

    // All that the channels take, for each of them and for their state.
    size_t bytes() const { return memory.size() * sizeof(Unit) + size() * (sizeof(uint32_t) * 2); }

private:
    struct alignas(UNIT) Unit {
        unsigned char bytes[UNIT];
    };

    size_t units_of(uint32_t row) const { return (bytes_of(table[row].window) + UNIT - 1) / UNIT; }

    unsigned char* block(size_t i) { return memory[place[i]].bytes; }

    Blocks blocks() {
        return {reinterpret_cast<unsigned char*>(memory.data()), place.data(), kind.data(), table.data(), &told};
    }

    void check([[maybe_unused]] size_t i) const { SUAT_CHECK(i < kind.size()); }

    // At least doubled, so that channels which come one by one are not moved each time.
    template <class T>
    static void reserve(std::vector<T>& of, size_t needed) {
        if (needed > of.capacity()) of.reserve(of.empty() ? needed : std::max(needed, 2 * of.capacity()));
    }

    std::vector<Unit> memory;
    std::vector<uint32_t> place, kind;
    std::vector<Settings> table;
    Told told;
    const Kernels* kernels = nullptr;
    std::mutex one_at_a_time;
};

}  // namespace suat
