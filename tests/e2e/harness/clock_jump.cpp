// Shifts the wall clock of one process, for tests: LD_PRELOAD this, and write nanoseconds (a native int64) to the file
// that CLOCK_JUMP_FILE names. The machine's clock, and monotonic clocks, stay as they are.
//
// Waits until a wall time are converted back for the kernel, which knows nothing of the shift. One that has begun
// before a jump is not cut short or lengthened by it, as a real one would be.

#include <atomic>
#include <cstdarg>
#include <cstdint>
#include <cstdlib>
#include <ctime>
#include <dlfcn.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

namespace {

constexpr std::int64_t second = 1'000'000'000;

std::int64_t offset()
{
    static const auto* const shared = []() -> const std::atomic<std::int64_t>* {
        const char* file = std::getenv("CLOCK_JUMP_FILE");
        const int fd = file != nullptr ? ::open(file, O_RDONLY | O_CLOEXEC) : -1;
        void* at = fd >= 0 ? ::mmap(nullptr, sizeof(std::int64_t), PROT_READ, MAP_SHARED, fd, 0) : MAP_FAILED;
        if (at == MAP_FAILED) {
            std::abort();
        }
        ::close(fd);
        return static_cast<const std::atomic<std::int64_t>*>(at);
    }();
    return shared->load(std::memory_order_relaxed);
}

void shift(timespec& t, std::int64_t by)
{
    const std::int64_t all = t.tv_sec * second + t.tv_nsec + by;
    t.tv_sec = all / second;
    t.tv_nsec = all % second;
}

/// The function that this library stands before.
template <class Function>
Function* real(const char* name)
{
    return reinterpret_cast<Function*>(::dlsym(RTLD_NEXT, name));
}

bool is_wall(clockid_t clock)
{
    return clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE;
}

}  // namespace

extern "C" {

int clock_gettime(clockid_t clock, timespec* t) noexcept
{
    static auto* const next = real<int(clockid_t, timespec*)>("clock_gettime");
    const int result = next(clock, t);
    if (result == 0 && is_wall(clock)) {
        shift(*t, offset());
    }
    return result;
}

int gettimeofday(timeval* t, void*) noexcept
{
    timespec now{};
    const int result = clock_gettime(CLOCK_REALTIME, &now);
    t->tv_sec = now.tv_sec;
    t->tv_usec = now.tv_nsec / 1000;
    return result;
}

std::time_t time(std::time_t* t) noexcept
{
    timespec now{};
    clock_gettime(CLOCK_REALTIME, &now);
    if (t != nullptr) {
        *t = now.tv_sec;
    }
    return now.tv_sec;
}

int pthread_cond_timedwait(pthread_cond_t* condition, pthread_mutex_t* mutex, const timespec* until)
{
    static auto* const next = real<int(pthread_cond_t*, pthread_mutex_t*, const timespec*)>("pthread_cond_timedwait");
    timespec at = *until;
    // The condition may be one of the monotonic clock, which counts from the machine's start: not yet for 30 years.
    if (at.tv_sec > std::time_t{1'000'000'000}) {
        shift(at, -offset());
    }
    return next(condition, mutex, &at);
}

/// abseil's waits of gRPC.
long syscall(long number, ...) noexcept
{
    static auto* const next = real<long(long, ...)>("syscall");
    std::va_list given;
    va_start(given, number);
    long args[6];
    for (long& arg : args) {
        arg = va_arg(given, long);
    }
    va_end(given);
    timespec at{};
    if (number == SYS_futex && (args[1] & FUTEX_CLOCK_REALTIME) != 0 && args[3] != 0) {
        at = *reinterpret_cast<const timespec*>(args[3]);
        shift(at, -offset());
        args[3] = reinterpret_cast<long>(&at);
    }
    return next(number, args[0], args[1], args[2], args[3], args[4], args[5]);
}

}  // extern "C"
