// The engine's memory: `malloc` and its kin, by two-level segregated fit (Masmano et al., "TLSF", ECRTS 2004). Every call
// takes the same few steps however full the heap is, freed neighbours become one, and what was freed is used again before
// the memory grows, so that an instance stays as large as its script needs.
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/** What lies before each piece. A free piece has its links behind it, where a used one has its bytes. */
struct piece {
    /** Bytes of the piece before, header included; 0 for the first one. */
    uint32_t before;
    /** Bytes of this one, header included; the lowest bit is set while it is free. */
    uint32_t size;
    struct piece *next, *previous;
};

enum {
    HEADER = 8,
    ALIGNMENT = 16,
    /** A free piece holds its links. */
    PIECE_MIN = 32,
    FREE = 1,
    PAGE = 65536,
    /** Classes between two powers of two. */
    STEPS_LOG2 = 3,
    STEPS = 1 << STEPS_LOG2,
    /** The smallest power of two that is divided; smaller pieces have a class for each size. */
    SMALL_LOG2 = 7,
    LEVELS = 32 - SMALL_LOG2 + 1,
};

extern unsigned char __heap_base;

/** The first piece, where there is one. */
static struct piece *first_piece;
static struct piece *lists[LEVELS][STEPS];
/** Which levels, and which classes of each, have a piece. */
static uint32_t levels, classes[LEVELS];
/** The piece at the heap's end, used and without bytes. */
static struct piece *end;

struct class {
    uint32_t level, step;
};

static struct class class_of(uint32_t size)
{
    if (size < 1u << SMALL_LOG2) return (struct class){0, size / ALIGNMENT};
    uint32_t log2 = 31 - __builtin_clz(size);
    return (struct class){log2 - SMALL_LOG2 + 1, (size >> (log2 - STEPS_LOG2)) - STEPS};
}

static uint32_t size_of(const struct piece *piece)
{
    return piece->size & ~FREE;
}

static struct piece *after(struct piece *piece)
{
    return (struct piece *)((char *)piece + size_of(piece));
}

static void *bytes_of(struct piece *piece)
{
    return (char *)piece + HEADER;
}

static struct piece *piece_of(const void *bytes)
{
    return (struct piece *)((char *)bytes - HEADER);
}

static void add(struct piece *piece)
{
    struct class of = class_of(piece->size);
    struct piece *first = lists[of.level][of.step];
    piece->next = first;
    piece->previous = NULL;
    if (first != NULL) first->previous = piece;
    lists[of.level][of.step] = piece;
    levels |= 1u << of.level;
    classes[of.level] |= 1u << of.step;
    piece->size |= FREE;
}

static void take(struct piece *piece)
{
    piece->size &= ~FREE;
    if (piece->next != NULL) piece->next->previous = piece->previous;
    if (piece->previous != NULL) {
        piece->previous->next = piece->next;
        return;
    }
    struct class of = class_of(piece->size);
    lists[of.level][of.step] = piece->next;
    if (piece->next != NULL) return;
    classes[of.level] &= ~(1u << of.step);
    if (classes[of.level] == 0) levels &= ~(1u << of.level);
}

/** A free piece of at least so many bytes; NULL where there is none. */
static struct piece *find(uint32_t size)
{
    // Rounded up to a class's smallest, each piece of which is large enough.
    uint32_t least = size;
    if (size >= 1u << SMALL_LOG2) least += (1u << (31 - __builtin_clz(size) - STEPS_LOG2)) - 1;
    struct class of = class_of(least);
    uint32_t fitting = classes[of.level] & (~0u << of.step);
    if (fitting == 0) {
        uint32_t larger = of.level == 31 ? 0 : levels & (~0u << (of.level + 1));
        if (larger == 0) return NULL;
        of.level = __builtin_ctz(larger);
        fitting = classes[of.level];
    }
    return lists[of.level][__builtin_ctz(fitting)];
}

/** Leaves a used piece as large as it must be; what is left over becomes free. */
static void trim(struct piece *piece, uint32_t size)
{
    uint32_t rest = piece->size - size;
    if (rest < PIECE_MIN) return;
    piece->size = size;
    struct piece *left = after(piece);
    left->before = size;
    left->size = rest;
    struct piece *next = after(left);
    if (next->size & FREE) {
        take(next);
        left->size += next->size;
    }
    after(left)->before = left->size;
    add(left);
}

/** Makes the heap larger by a piece of so many bytes at least, which is free. */
static bool grow(uint32_t size)
{
    uint32_t pages = (size + HEADER + ALIGNMENT + PAGE - 1) / PAGE;
    if (end == NULL) {
        // The first piece's bytes are aligned, so those of all are.
        uintptr_t base = ((uintptr_t)&__heap_base + HEADER + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT - HEADER;
        uintptr_t limit = (uintptr_t)__builtin_wasm_memory_size(0) * PAGE;
        if (base + PIECE_MIN + HEADER > limit) {
            if (__builtin_wasm_memory_grow(0, 1) == SIZE_MAX) return false;
            limit += PAGE;
        }
        first_piece = (struct piece *)base;
        first_piece->before = 0;
        first_piece->size = (limit - base - HEADER) / ALIGNMENT * ALIGNMENT;
        end = after(first_piece);
        end->before = first_piece->size;
        end->size = 0;
        add(first_piece);
        return true;
    }
    if (__builtin_wasm_memory_grow(0, pages) == SIZE_MAX) return false;
    struct piece *made = end;
    made->size = pages * PAGE;
    end = after(made);
    end->size = 0;
    struct piece *before = (struct piece *)((char *)made - made->before);
    if (made->before > 0 && (before->size & FREE)) {
        take(before);
        before->size += made->size;
        made = before;
    }
    end->before = made->size;
    add(made);
    return true;
}

/** Bytes of the piece that holds so many; 0 where no heap could. */
static uint32_t piece_size(size_t size)
{
    if (size > INT32_MAX) return 0;
    uint32_t whole = (size + HEADER + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    return whole < PIECE_MIN ? PIECE_MIN : whole;
}

void *malloc(size_t size)
{
    uint32_t whole = piece_size(size);
    if (whole == 0) return NULL;
    struct piece *piece = find(whole);
    while (piece == NULL) {
        // By what a class is rounded up to, so that it is found.
        if (!grow(whole + whole / STEPS)) return NULL;
        piece = find(whole);
    }
    take(piece);
    trim(piece, whole);
    return bytes_of(piece);
}

void free(void *bytes)
{
    if (bytes == NULL) return;
    struct piece *piece = piece_of(bytes);
    struct piece *next = after(piece);
    if (next->size & FREE) {
        take(next);
        piece->size += next->size;
    }
    struct piece *before = (struct piece *)((char *)piece - piece->before);
    if (piece->before > 0 && (before->size & FREE)) {
        take(before);
        before->size += piece->size;
        piece = before;
    }
    after(piece)->before = piece->size;
    add(piece);
}

void *calloc(size_t count, size_t size)
{
    size_t whole;
    if (__builtin_mul_overflow(count, size, &whole)) return NULL;
    void *bytes = malloc(whole);
    if (bytes != NULL) memset(bytes, 0, whole);
    return bytes;
}

size_t malloc_usable_size(void *bytes)
{
    return bytes == NULL ? 0 : piece_of(bytes)->size - HEADER;
}

void *realloc(void *bytes, size_t size)
{
    if (bytes == NULL) return malloc(size);
    uint32_t whole = piece_size(size);
    if (whole == 0) return NULL;
    struct piece *piece = piece_of(bytes);
    struct piece *next = after(piece);
    if (whole > piece->size && (next->size & FREE) && piece->size + size_of(next) >= whole) {
        take(next);
        piece->size += next->size;
        after(piece)->before = piece->size;
    }
    if (whole <= piece->size) {
        trim(piece, whole);
        return bytes;
    }
    void *moved = malloc(size);
    if (moved == NULL) return NULL;
    memcpy(moved, bytes, piece->size - HEADER);
    free(bytes);
    return moved;
}

/** Zeroes what was freed, which then takes no room in a copy of the memory. */
void clear_freed(void)
{
    for (struct piece *piece = first_piece; piece != NULL && piece != end; piece = after(piece)) {
        if (piece->size & FREE) memset(piece + 1, 0, size_of(piece) - sizeof(struct piece));
    }
}
