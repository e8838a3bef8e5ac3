// Work that splits into independent parts, on several threads.
#pragma once

#include <atomic>
#include <cstddef>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

namespace suat {

// Calls work(i) once for each i below n, on up to `threads` threads of which the caller's is one; each takes the next i
// that is free. The first exception ends it and is thrown again here.
template <class Work>
void in_parallel(size_t n, int threads, Work work) {
    std::atomic<size_t> next{0};
    std::exception_ptr fault;
    std::mutex guard;
    const auto run = [&] {
        try {
            for (size_t i; (i = next.fetch_add(1)) < n;) work(i);
        } catch (...) {
            next = n;
            const std::lock_guard<std::mutex> held(guard);
            if (!fault) fault = std::current_exception();
        }
    };
    std::vector<std::thread> others;
    try {
        for (size_t i = 1; i < n && i < static_cast<size_t>(threads); ++i) others.emplace_back(run);
    } catch (const std::exception&) {  // no more threads to be had: those there are do it
    }
    run();
    for (std::thread& other : others) other.join();
    if (fault) std::rethrow_exception(fault);
}

}  // namespace suat
