// The CPU paths of this build; setup.py compiles path.cpp for each of them.
#include "kernels/paths.hpp"

namespace suat {

#if defined(__x86_64__)
extern const Kernels kernels_baseline, kernels_v3, kernels_v4;
extern const Path PATHS[] = {
    {"baseline", &kernels_baseline, true},
    {"v3", &kernels_v3, __builtin_cpu_supports("x86-64-v3") != 0},
    {"v4", &kernels_v4, __builtin_cpu_supports("x86-64-v4") != 0},
};
#elif defined(__aarch64__)
extern const Kernels kernels_neon;
extern const Path PATHS[] = {{"neon", &kernels_neon, true}};
#else
extern const Kernels kernels_baseline;
extern const Path PATHS[] = {{"baseline", &kernels_baseline, true}};
#endif

extern const int PATH_COUNT = sizeof(PATHS) / sizeof(*PATHS);

}  // namespace suat
