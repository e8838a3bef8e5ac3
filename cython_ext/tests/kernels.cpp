// Calls the kernels where Python is not: on another machine, or watched by a sanitizer. Calls come on standard input,
// answers go to standard output bit for bit. SUAT_TABLE names the table of the CPU path that it is linked with.
//
// A call: name (8 bytes), parameters, then as many arrays as the kernel takes. An answer: how many arrays, the arrays.
// Parameters and arrays alike: how many doubles (u64), the doubles.
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>
#include <thread>

#include "kernels/bank.hpp"
#include "kernels/channels.hpp"
#include "kernels/windows.hpp"

namespace suat {
extern const Kernels SUAT_TABLE;
}
using namespace suat;
typedef std::vector<double> Doubles;
typedef std::vector<Doubles> Answer;

struct Call {
    Doubles parameters;
    std::vector<Doubles> arrays;
};

static bool read(void* to, size_t bytes) { return std::fread(to, 1, bytes, stdin) == bytes; }

static Doubles read_doubles() {
    uint64_t n = 0;
    if (!read(&n, sizeof n)) std::exit(2);
    Doubles values(n);
    if (n && !read(values.data(), n * sizeof(double))) std::exit(2);
    return values;
}

static void write(const void* from, size_t bytes) {
    if (std::fwrite(from, 1, bytes, stdout) != bytes) std::exit(2);
}

static Rows rows_of(const Call& call, Doubles& out) {
    const Doubles &t = call.arrays[0], &x = call.arrays[1];
    return {t.data(), x.data(), out.data(), t.size(), 0};
}

// Median, cleaned series and outliers, for window, n_sigmas and whether it is centred.
static Answer windows(const Kernels& kernels, const Call& call) {
    const Doubles& x = call.arrays[0];
    const Window window = {static_cast<int>(call.parameters[0]), call.parameters[2] != 0};
    Doubles medians(x.size()), clean(x.size());
    std::vector<uint8_t> outlier(x.size());
    rolling_median(kernels, x.data(), medians.data(), 1, x.size(), window, 1);
    hampel(kernels, x.data(), clean.data(), outlier.data(), 1, x.size(), window, call.parameters[1] * MAD_TO_SIGMA, 1);
    return {medians, clean, Doubles(outlier.begin(), outlier.end())};
}

static Answer ewma(const Kernels& kernels, const Call& call) {
    Doubles out(call.arrays[1].size());
    ewma(kernels, rows_of(call, out), 1, call.parameters[0], 1);
    return {out};
}

static Answer kalman(const Kernels& kernels, const Call& call) {
    Doubles out(call.arrays[1].size());
    kalman(kernels, rows_of(call, out), 1, call.parameters[0], call.parameters[1], 1);
    return {out};
}

static Answer slope(const Kernels&, const Call& call) {
    Doubles out(2);
    theil_sen(rows_of(call, out), 1, 1);
    return {out};
}

static Answer buckets(const Kernels& kernels, const Call& call) {
    Doubles nothing;
    const Rows rows = rows_of(call, nothing);
    Resampling resampling;
    resampling.cut(rows, 1, call.parameters[0], 0, 1);
    const size_t most = resampling.place.back();
    const bool with_median = call.parameters[1] != 0;
    Answer columns(with_median ? 7 : 6, Doubles(most));
    std::vector<int64_t> count(most);
    const size_t size = resampling.fill(
        kernels, rows,
        {columns[0].data(), columns[2].data(), columns[3].data(), columns[4].data(), columns[5].data(),
         with_median ? columns[6].data() : nullptr, count.data()},
        1);
    columns[1].assign(count.begin(), count.end());
    for (Doubles& column : columns) column.resize(size);
    return columns;
}

// Rows of settings as the bank's own struct, the row of each channel; then channels, times and readings.
static void fill(Bank& bank, const Kernels& kernels, const Call& call) {
    bank.use(&kernels);
    const Settings* rows = reinterpret_cast<const Settings*>(call.arrays[0].data());
    for (size_t i = 0; i < call.arrays[0].size() * sizeof(double) / sizeof(Settings); ++i) bank.admit(rows[i]);
    const std::vector<uint32_t> which(call.arrays[1].begin(), call.arrays[1].end());
    bank.grow(which.data(), which.size());
}

static Answer told(Bank& bank) {
    Doubles found, saved(bank.saved_bytes() / sizeof(double));
    for (const Revision& one : bank.take_revisions())
        for (const double part : {double(one.channel), one.since, one.until, double(one.set), double(one.clear)})
            found.push_back(part);
    bank.save(reinterpret_cast<unsigned char*>(saved.data()));
    return {found, saved};
}

static Answer judged(const Kernels& kernels, const Call& call) {
    Bank bank;
    fill(bank, kernels, call);
    const std::vector<int64_t> channels(call.arrays[2].begin(), call.arrays[2].end());
    Doubles values(channels.size());
    std::vector<uint16_t> flags(channels.size());
    bank.push_many(
        channels.data(), call.arrays[3].data(), call.arrays[4].data(), values.data(), flags.data(), channels.size());
    Answer answer = told(bank);
    answer.insert(answer.begin(), {values, Doubles(flags.begin(), flags.end())});
    Bank again;
    fill(again, kernels, call);
    Doubles saved = answer[3];
    const bool sound = again.load(reinterpret_cast<const unsigned char*>(saved.data()));
    answer.push_back({double(sound)});
    return answer;
}

// The same with a thread for each channel, all at once on one bank, reading by reading and in batches; and on each
// thread the filters over whole series with threads of their own.
static Answer together(const Kernels& kernels, const Call& call) {
    Bank bank;
    fill(bank, kernels, call);
    std::vector<std::thread> threads;
    std::atomic<size_t> wrong{0};
    const Doubles &t = call.arrays[3], &x = call.arrays[4];
    Doubles twice = x;
    twice.insert(twice.end(), x.begin(), x.end());
    Doubles smooth(twice.size()), medians(twice.size());
    ewma(kernels, {t.data(), twice.data(), smooth.data(), t.size(), 0}, 2, 3600, 1);
    rolling_median(kernels, twice.data(), medians.data(), 2, x.size(), {25, true}, 1);
    for (size_t channel = 0; channel < bank.size(); ++channel)
        threads.emplace_back([&, channel] {
            constexpr size_t BATCH = 16;
            const std::vector<int64_t> channels(BATCH, static_cast<int64_t>(channel));
            double value[BATCH];
            uint16_t flags[BATCH];
            size_t i = 0;
            for (; i + BATCH < t.size(); i += BATCH + 1) {
                bank.push_many(channels.data(), &t[i], &x[i], value, flags, BATCH);
                bank.push(channel, t[i + BATCH], x[i + BATCH], value[0]);
                if (bank.revised()) bank.take_revisions();
            }
            for (; i < t.size(); ++i) bank.push(channel, t[i], x[i], value[0]);
            Doubles out(twice.size());
            ewma(kernels, {t.data(), twice.data(), out.data(), t.size(), 0}, 2, 3600, 2);
            wrong += std::memcmp(out.data(), smooth.data(), out.size() * sizeof(double)) != 0;
            rolling_median(kernels, twice.data(), out.data(), 2, x.size(), {25, true}, 2);
            wrong += std::memcmp(out.data(), medians.data(), out.size() * sizeof(double)) != 0;
        });
    for (std::thread& thread : threads) thread.join();
    return {told(bank)[1], {double(wrong)}};
}

struct Kernel {
    Answer (*answer)(const Kernels& kernels, const Call& call);
    size_t arrays;
};

static const std::map<std::string, Kernel> KERNELS = {
    {"windows", {windows, 1}}, {"ewma", {ewma, 2}},       {"kalman", {kalman, 2}},     {"slope", {slope, 2}},
    {"buckets", {buckets, 2}}, {"judged", {judged, 5}},   {"together", {together, 5}},
};

int main() {
    for (char name[9] = ""; read(name, 8);) {
        const Kernel& kernel = KERNELS.at(name);
        Call call{read_doubles(), {}};
        for (size_t i = 0; i < kernel.arrays; ++i) call.arrays.push_back(read_doubles());
        const Answer answer = kernel.answer(SUAT_TABLE, call);
        const uint64_t arrays = answer.size();
        write(&arrays, sizeof arrays);
        for (const Doubles& values : answer) {
            const uint64_t n = values.size();
            write(&n, sizeof n);
            if (n) write(values.data(), n * sizeof(double));
        }
    }
    return 0;
}
