// The kernels of one CPU path: setup.py compiles this once for each, with the path's instructions and, as SUAT_TABLE,
// the name of its table.
#include "kernels/paths.hpp"

#include "kernels/buckets.hpp"
#include "kernels/judging.hpp"
#include "kernels/lanes.hpp"
#include "kernels/smooth.hpp"

namespace suat {

extern const Kernels SUAT_TABLE = {
    window_memory,
    medians,
    hampel,
    in_order,
    ewma,
    kalman,
    summarise,
    reset,
    restore,
    judge,
    judge_many,
};

}  // namespace suat
