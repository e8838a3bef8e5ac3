// The readings of many channels, judged in the order in which they come. Compiled once for each CPU path (paths.hpp).
#pragma once

#include "kernels/channel.hpp"
#include "kernels/paths.hpp"

namespace suat {
namespace {

constexpr size_t AHEAD = 4;  // readings: by then the state has come from memory
constexpr size_t LINE = 64;

inline unsigned char* block_of(const Blocks& blocks, size_t channel) {
    return blocks.memory + UNIT * blocks.place[channel];
}

inline const Settings& settings_of(const Blocks& blocks, size_t channel) {
    return blocks.settings[blocks.kind[channel]];
}

inline Channel channel_of(const Blocks& blocks, size_t channel) {
    return Channel(
        block_of(blocks, channel), settings_of(blocks, channel), static_cast<uint32_t>(channel), *blocks.revisions);
}

inline void fetch(const Blocks& blocks, size_t channel) {
    const unsigned char* from = block_of(blocks, channel);
    const size_t bytes = bytes_of(settings_of(blocks, channel).window), most = 10 * LINE;
    for (size_t at = 0; at < (bytes < most ? bytes : most); at += LINE) __builtin_prefetch(from + at, 1);
}

void reset(const Blocks& blocks, size_t channel) { channel_of(blocks, channel).reset(); }

bool restore(const Blocks& blocks, size_t channel) { return channel_of(blocks, channel).restore(); }

uint16_t judge(const Blocks& blocks, size_t channel, double t, double x, double& value) {
    return channel_of(blocks, channel).push(t, x, value);
}

void judge_many(
    const Blocks& blocks, const int64_t* channels, const double* t, const double* x, double* values, uint16_t* flags,
    size_t n) {
    for (size_t i = 0; i < n; ++i) {
        if (i + AHEAD < n) fetch(blocks, static_cast<size_t>(channels[i + AHEAD]));
        flags[i] = judge(blocks, static_cast<size_t>(channels[i]), t[i], x[i], values[i]);
    }
}

}  // namespace
}  // namespace suat
