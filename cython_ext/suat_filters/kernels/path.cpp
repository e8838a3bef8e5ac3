// The kernels of one CPU path: setup.py compiles this once for each, with the path's instructions and, as SUAT_TABLE,
// the name of its table.
#include "kernels/paths.hpp"

#include "kernels/lanes.hpp"

namespace suat {

extern const Kernels SUAT_TABLE = {
    window_memory,
    medians,
};

}  // namespace suat
