// The operating system that the C library of the engine calls: two clocks, which the proxy has, and no files. The names
// are those by which wasi-libc refers to what it would import.
#include <stdint.h>

#define IMPORT(module, name) __attribute__((import_module(module), import_name(name)))
#define PREVIEW1(name) __imported_wasi_snapshot_preview1_##name

enum { SUCCESS = 0, BAD_FILE = 8, CLOCK_REALTIME = 0 };

struct datetime {
    uint64_t seconds;
    uint32_t nanoseconds;
};

IMPORT("wasi:clocks/wall-clock@0.2.12", "now") void wall_clock_now(struct datetime *);
IMPORT("wasi:clocks/monotonic-clock@0.2.12", "now") uint64_t monotonic_clock_now(void);

int32_t PREVIEW1(clock_time_get)(int32_t clock, int64_t precision, uint64_t *time)
{
    if (clock == CLOCK_REALTIME) {
        struct datetime now;
        wall_clock_now(&now);
        *time = now.seconds * 1000000000u + now.nanoseconds;
    } else *time = monotonic_clock_now();
    return SUCCESS;
}

/** What the C library would write, as before it aborts, has no reader. */
int32_t PREVIEW1(fd_write)(int32_t file, const void *parts, int32_t count, int32_t *written)
{
    return BAD_FILE;
}

int close(int file)
{
    return -1;
}

int32_t PREVIEW1(fd_seek)(int32_t file, int64_t offset, int32_t whence, uint64_t *position)
{
    return BAD_FILE;
}

int32_t PREVIEW1(fd_fdstat_get)(int32_t file, void *status)
{
    return BAD_FILE;
}
