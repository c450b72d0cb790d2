/*
 * catzilla-cache: an embeddable cache. Memory, and as they come Redis and disk, behind one handle.
 *
 *     #include <catzilla_cache.h>
 *     #include <stdio.h>
 *
 *     int main(void) {
 *         catzilla_cache_t *cache;
 *         char buffer[64];
 *         size_t len;
 *         if (catzilla_cache_open(NULL, &cache) != CATZILLA_OK) return 1;
 *         catzilla_cache_put(cache, "greeting", 8, "hello", 5, 0);
 *         if (catzilla_cache_read(cache, "greeting", 8, buffer, sizeof buffer, &len) == CATZILLA_OK)
 *             printf("%.*s\n", (int)len, buffer);
 *         catzilla_cache_destroy(cache);
 *         return 0;
 *     }
 *
 * Conventions
 *
 *  1. Ownership. What a function makes, its counterpart ends: options_create and options_destroy, cache_open (or _create)
 *     and cache_destroy, acquire and release, cache_lease and lease_fulfil, _fail or _cancel. Those that return nothing accept
 *     NULL and do nothing. Everything that is passed in is copied before the call returns.
 *  2. Threads. Any function may be called from any thread at any time, except that destroy needs every other call on that
 *     handle to have returned, and that an options object belongs to one thread at a time.
 *  3. Errors. A catzilla_status_t is 0 for success, above 0 for an expected outcome (a miss, a buffer that is too small),
 *     below 0 for a failure. Classic functions return -1, NULL or false instead. After a failure the thread's last error
 *     says what was wrong and what would be right; success and expected outcomes leave it alone. A bug inside the library
 *     comes back as CATZILLA_INTERNAL; no call aborts the program.
 *  4. Arguments come as handle, inputs, outputs. Outputs are set to NULL or 0 first. NULL where it is not allowed is a
 *     failure, not a crash.
 *  5. Keys and values of the modern group are a pointer and a length, any bytes; the pointer may be NULL when the length
 *     is 0. Keys of the classic group are texts that end in NUL; the empty key is a key like any other.
 *  6. Lifetimes of results. read: the copy is the caller's. acquire: until release, on any thread, whatever happens to the
 *     entry or the cache. Classic get: until the same thread has made 64 more such calls, or ends, or the cache is
 *     destroyed; whatever other threads do meanwhile.
 *  7. Lifetimes of entries. Never shorter than asked for, at most 20 ms longer. The wall clock plays no part in memory.
 *  8. Memory. Figures are what the allocator takes, not what was asked of it. A cache made with its own arena gives all of
 *     it back when it is destroyed and the last acquired value is released.
 *  9. fork. The child may go on using every cache, also when other threads of the parent were in the middle of a call. It
 *     makes connections of its own to Redis and the file; what waited to be written is the parent's to write. The library
 *     is never unloaded.
 * 10. Versions. The number in the library's name (CATZILLA_CACHE_ABI) changes when a program that was linked before could
 *     break. Structs with a struct_size member, and structs that only the library makes, grow at the end.
 * 11. Threads of the library. A cache starts one of its own when the first entry is stored that can expire, to free what
 *     nobody asks for any more; destroy ends it, a forked child starts its own, no signal is handled on it. The option
 *     memory.sweep_interval says how often it comes, and with off that there is none. Nothing relies on it. Each tier below
 *     memory gets one when there is something to write later, or when it has failed.
 * 12. Tiers. With redis.url or redis.nodes, with disk.path, or both, a look-up asks memory, then Redis, then the disk, and
 *     takes what it finds into the tiers above for what is left of its lifetime, never for longer. put, remove, touch and
 *     purge act on all of them. A value that memory does not take is kept below.
 * 13. When a put is where. It returns when Redis has answered (with cache.write=behind: at once) and its write to disk is
 *     queued: every look-up in this process sees it, and it is committed within disk.commit_interval, by flush and by
 *     destroy (with disk.sync=commit: before put returns). A program that ends without destroy loses what is queued, and
 *     nothing else.
 * 14. A tier that fails is no failure of a call: the others go on, and what cannot be reached is a miss. It adds at most
 *     500 ms to one call, and at most 1 s to all calls of a thread in any 10 s; it is left alone then and tried again by the
 *     cache's own thread. What was put or removed meanwhile is gone from it before it is read again, so nothing
 *     that was overwritten comes back. catzilla_cache_health and _tier_statistics tell.
 * 15. Several processes. They may share a Redis and, on one host, a folder: each reads what the others put or purged there,
 *     and another's purge of everything within a second. What a process has in memory stays there until its
 *     time is over (memory.ttl), whatever others put; and a disk tier is its host's. Conditions, versions, increments and
 *     loads hold within one process; iteration, the listener and memory.capacity are about memory.
 * 16. Clocks. What leaves the process carries its end as wall time: hosts that share a Redis have to agree on that, and a
 *     clock that jumps lets values below memory end early, or late, but then no later than a whole lifetime after the jump.
 *
 * Further: docs/options.md has every option, docs/operations.md what each failure looks like and what to do.
 *
 * Symptoms
 *
 *  - Old data after destroy, or a crash while reading it: a classic result does not outlive its cache; use acquire.
 *  - A classic result changes under the eyes of a thread that holds more than 64 of them: hold values with acquire.
 *  - Every figure of the statistics is 0: struct_size was not set to sizeof(catzilla_statistics_t) before the call.
 *  - Items of a batch hold nonsense: two of them were given one buffer, or parts of one.
 *  - Redis or the disk never has anything: catzilla_cache_health() says whether that tier is up, and what it failed with.
 *  - Values of before a restart are gone: destroy was not called, or disk.path is another folder.
 *  - create returns NULL: a capacity of 0; catzilla_last_error_message() says so.
 */

#ifndef CATZILLA_CACHE_H
#define CATZILLA_CACHE_H

/* Made by build.rs from src/ffi; `make header` makes it anew. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CATZILLA_CACHE_VERSION "0.1.0"
#define CATZILLA_CACHE_VERSION_MAJOR 0
#define CATZILLA_CACHE_VERSION_MINOR 1
#define CATZILLA_CACHE_VERSION_PATCH 0
/* The number of the binary interface, and of the shared library's name. */
#define CATZILLA_CACHE_ABI 1

#ifdef __cplusplus
extern "C" {
#endif

/* ------------------------------------------------------------------------------------------------------------------
 * Status
 * ------------------------------------------------------------------------------------------------------------------ */

/** The call did what it says. */
#define CATZILLA_OK 0

/** The key is not in the cache. */
#define CATZILLA_NOT_FOUND 1

/** The buffer is too small; nothing was copied, and the needed size was reported. */
#define CATZILLA_TRUNCATED 2

/** The key is there already, and was to be stored only if it is not; nothing was stored. */
#define CATZILLA_EXISTS 3

/** The key is there in another version than the expected one; nothing was stored. */
#define CATZILLA_VERSION_MISMATCH 4

/** An argument can never be right: NULL where that is not allowed, an impossible length. */
#define CATZILLA_INVALID_ARGUMENT -100

/** No option has that name. */
#define CATZILLA_UNKNOWN_OPTION -110

/** The text is not a value of the option's type. */
#define CATZILLA_INVALID_OPTION -111

/** The value is outside the option's range. */
#define CATZILLA_OPTION_OUT_OF_RANGE -112

/** The option cannot change while a cache runs. */
#define CATZILLA_OPTION_NOT_LIVE -113

/** The key is longer than `CATZILLA_MAX_KEY_LEN`. */
#define CATZILLA_KEY_TOO_LARGE -200

/** The value is longer than `memory.max_value_size`, or would not fit into `memory.max_bytes` even alone. */
#define CATZILLA_VALUE_TOO_LARGE -201

/** The value to be counted up or down is not a whole number of 64 bits in decimal digits. */
#define CATZILLA_NOT_A_NUMBER -210

/** The sum does not fit into 64 bits. */
#define CATZILLA_NUMBER_OVERFLOW -211

/** The allocator returned nothing. The cache is as it was. */
#define CATZILLA_OUT_OF_MEMORY -300

/** This build of the library does not have what was asked for. */
#define CATZILLA_UNSUPPORTED -400

/** Somebody else is loading the key, and was not done in time. */
#define CATZILLA_TIMED_OUT -500

/** The loader of the key has failed. */
#define CATZILLA_LOAD_FAILED -501

/** The thread is loading the key already, and would wait for itself. */
#define CATZILLA_LOAD_REENTERED -502

/** A tier that is required, or was to be waited for, cannot be used. */
#define CATZILLA_TIER_UNAVAILABLE -600

/** A bug inside the library, caught at its boundary. The cache can be used on. */
#define CATZILLA_INTERNAL -900

/**
 * How a call went: 0 is success, above 0 is an expected outcome, below 0 is a failure. See `CATZILLA_OK` and the
 * numbers that follow it.
 */
typedef int32_t catzilla_status_t;

/* ------------------------------------------------------------------------------------------------------------------
 * Version, errors, messages
 * ------------------------------------------------------------------------------------------------------------------ */

/** Nothing. */
#define CATZILLA_LOG_OFF 0

/** Something is lost or wrong. */
#define CATZILLA_LOG_ERROR 1

/** Something was asked for and could not be done as asked. */
#define CATZILLA_LOG_WARN 2

/** Something that happens a few times in a program's life. */
#define CATZILLA_LOG_INFO 3

/** For whoever looks for a fault. */
#define CATZILLA_LOG_DEBUG 4

/** How much a message matters; a logger gets its own level and everything more important. */
typedef int32_t catzilla_log_level_t;

/** Takes the library's messages. `message` is a text that ends in NUL and is good until the function returns. */
typedef void (*catzilla_logger_t)(void *user, catzilla_log_level_t level, const char *message);

/** The version of the library that is running, which may be newer than the header: `"0.1.0"`. */
const char *catzilla_version(void);

/** The same as a number: major * 1000000 + minor * 1000 + patch. */
uint32_t catzilla_version_number(void);

/** The number of the binary interface, which is also that of the shared library's name. */
uint32_t catzilla_abi_version(void);

/** The name of a status, as it stands in this header; `"CATZILLA_UNKNOWN_STATUS"` for other numbers. Good for ever. */
const char *catzilla_status_name(catzilla_status_t status);

/**
 * What went wrong in this thread's last failing call, in words; `""` before the first. Never NULL.
 *
 * Ownership: good until this thread's next failing call. Successes and misses leave it alone.
 */
const char *catzilla_last_error_message(void);

/** The status of this thread's last failing call; `CATZILLA_OK` before the first. */
catzilla_status_t catzilla_last_error_code(void);

/**
 * Sends the library's messages up to `level` to `logger`; NULL sends them nowhere, as at the beginning.
 *
 * Returns: `CATZILLA_OK`; `CATZILLA_INVALID_ARGUMENT` for an unknown level. Threads: `logger` is called from any thread,
 * outside all locks, perhaps by several at once, and perhaps once more by a call that had begun before it was replaced.
 * It may call anything but `catzilla_cache_destroy`.
 */
catzilla_status_t catzilla_set_logger(catzilla_logger_t logger,
                                      void *user,
                                      catzilla_log_level_t level);

/* ------------------------------------------------------------------------------------------------------------------
 * Options
 * ------------------------------------------------------------------------------------------------------------------ */

/** How a cache is to be made, filled by name. */
struct catzilla_options;

/** See `struct catzilla_options`. */
typedef struct catzilla_options catzilla_options_t;

/** A row of the table of options. New members are only ever added at the end. */
struct catzilla_option_info {
    /** `tier.option`, as `catzilla_options_set` takes it. */
    const char *name;
    /** `count`, `size`, `duration`, `percent`, `switch` or `policy`. */
    const char *type;
    /** The text that stands for what is used when nobody sets the option. */
    const char *default_value;
    /** What is allowed, in words. */
    const char *range;
    /** One line of help. */
    const char *help;
    /** Whether the option can change while a cache runs. */
    bool live;
};

/** See `struct catzilla_option_info`. */
typedef struct catzilla_option_info catzilla_option_info_t;

/**
 * Makes an options object that holds the defaults.
 *
 * Ownership: ended by `catzilla_options_destroy`. Threads: an options object belongs to one thread at a time.
 */
catzilla_options_t *catzilla_options_create(void);

/**
 * Sets the option `name` to what the text `value` says: `"10000"`, `"512MiB"`, `"300ms"`, `"on"`, `"unlimited"`.
 *
 * Returns: `CATZILLA_OK`; `CATZILLA_UNKNOWN_OPTION`, `CATZILLA_INVALID_OPTION` or `CATZILLA_OPTION_OUT_OF_RANGE` with a
 * last error that names the option, what was given and what is allowed. The options are as they were then.
 */
catzilla_status_t catzilla_options_set(catzilla_options_t *options, const char *name, const char *value);

/** Ends an options object; NULL is fine. Caches that were opened with it are not touched. */
void catzilla_options_destroy(catzilla_options_t *options);

/** How many options there are. */
size_t catzilla_option_count(void);

/**
 * The row `index` of the table of options.
 *
 * Returns: the row, which is good for ever; NULL past the end.
 */
const catzilla_option_info_t *catzilla_option_info(size_t index);

/* ------------------------------------------------------------------------------------------------------------------
 * Cache
 * ------------------------------------------------------------------------------------------------------------------ */

/** A lifetime without end, for `ttl_ms`. */
#define CATZILLA_TTL_FOREVER UINT64_MAX

/** The longest key, in bytes. */
#define CATZILLA_MAX_KEY_LEN 4194303

/** Every entry; takes no selector. */
#define CATZILLA_PURGE_ALL 0

/** Every entry whose key begins with the selector. */
#define CATZILLA_PURGE_PREFIX 1

/** Every entry that was stored with the selector as a tag, see `catzilla_put_options_t`. */
#define CATZILLA_PURGE_TAG 2

/**
 * Every entry whose key fits the selector as a pattern: `*` stands for any bytes, also none, `?` for one byte, and `\` before a
 * byte takes that as it is; all else stands for itself.
 */
#define CATZILLA_PURGE_PATTERN 3

/** The longest pattern, in bytes. */
#define CATZILLA_MAX_PATTERN_LEN 4096

/**
 * A cache: one handle over its tiers. Made by `catzilla_cache_open` or `catzilla_cache_create`, ended by
 * `catzilla_cache_destroy`.
 */
struct catzilla_cache;

/** See `struct catzilla_cache`. */
typedef struct catzilla_cache catzilla_cache_t;

/** What `catzilla_cache_purge` removes. */
typedef int32_t catzilla_purge_t;

/**
 * Makes a cache and stores its handle in `*cache`.
 *
 * Returns: `CATZILLA_OK`; a failure, and `*cache` is NULL. Ownership: ended by `catzilla_cache_destroy`. `options` may be
 * NULL for the defaults, and may be changed or destroyed as soon as this returns.
 */
catzilla_status_t catzilla_cache_open(const catzilla_options_t *options,
                                      catzilla_cache_t **cache);

/**
 * Changes the option `name` of a running cache to what the text `value` says. What is too much then is evicted before this
 * returns.
 *
 * Returns: `CATZILLA_OK`; `CATZILLA_OPTION_NOT_LIVE` for an option that cannot change while a cache runs, otherwise as
 * `catzilla_options_set`. Nothing has changed then.
 */
catzilla_status_t catzilla_cache_set_option(catzilla_cache_t *cache,
                                            const char *name,
                                            const char *value);

/**
 * Stores a copy of `value` under `key`, in place of an earlier value. May evict other entries.
 *
 * `ttl_ms`: lifetime in milliseconds; 0 is the cache's default, `CATZILLA_TTL_FOREVER` and more than 100 years never end.
 * Returns: `CATZILLA_OK`; `CATZILLA_KEY_TOO_LARGE`, `CATZILLA_VALUE_TOO_LARGE` or `CATZILLA_OUT_OF_MEMORY`, and an earlier
 * value of the key stays. Cost: one allocation; compresses outside every lock. With `memory.max_bytes`, an entry that takes
 * more than a quarter of it and would drive others out is not kept until it is stored a second time; the first counts as
 * an eviction, and an earlier value of the key goes.
 */
catzilla_status_t catzilla_cache_put(catzilla_cache_t *cache,
                                     const void *key,
                                     size_t key_len,
                                     const void *value,
                                     size_t value_len,
                                     uint64_t ttl_ms);

/**
 * Copies the value of `key` into `buffer`, and its length into `*value_len`.
 *
 * Returns: `CATZILLA_OK`; `CATZILLA_NOT_FOUND` (`*value_len` is 0); `CATZILLA_TRUNCATED` when `capacity` is too small
 * (nothing is copied, `*value_len` is what is needed; it counts as a use, but not yet as a request);
 * `CATZILLA_OUT_OF_MEMORY` when there is none for what the library keeps of a thread, at the thread's first look-up.
 * `buffer` may be NULL when `capacity` is 0. Cost: no lock, unless writers change the same place again and again.
 */
catzilla_status_t catzilla_cache_read(catzilla_cache_t *cache,
                                      const void *key,
                                      size_t key_len,
                                      void *buffer,
                                      size_t capacity,
                                      size_t *value_len);

/**
 * Removes `key`.
 *
 * Returns: `CATZILLA_OK`; `CATZILLA_NOT_FOUND` when it was not there.
 */
catzilla_status_t catzilla_cache_remove(catzilla_cache_t *cache, const void *key, size_t key_len);

/**
 * Whether `key` is there. Counts neither as a request nor as a use of the entry.
 *
 * Returns: `CATZILLA_OK`; `CATZILLA_NOT_FOUND`.
 */
catzilla_status_t catzilla_cache_contains(catzilla_cache_t *cache, const void *key, size_t key_len);

/**
 * Removes many entries: with `CATZILLA_PURGE_ALL` all of them (`selector` is not looked at), with
 * `CATZILLA_PURGE_PREFIX` those whose key begins with the selector, with `CATZILLA_PURGE_PATTERN` those whose key fits it, with
 * `CATZILLA_PURGE_TAG` those that carry it as a tag. `removed`, unless it is NULL, is told how many.
 *
 * Returns: `CATZILLA_OK`, also when there were none; `CATZILLA_KEY_TOO_LARGE` for a selector no key can begin with,
 * `CATZILLA_INVALID_ARGUMENT` for one that no tag can be, or a pattern of more than `CATZILLA_MAX_PATTERN_LEN` bytes. Cost:
 * by prefix and by pattern it looks at every entry, some hundred of them under each lock; by tag at those that carry it, 64 under
 * each lock. What is stored meanwhile may stay.
 */
catzilla_status_t catzilla_cache_purge(catzilla_cache_t *cache,
                                       catzilla_purge_t what,
                                       const void *selector,
                                       size_t selector_len,
                                       uint64_t *removed);

/**
 * Frees every entry whose lifetime is over, now instead of when it is met or when the cache's own thread comes by (the
 * option `memory.sweep_interval`). `swept`, unless it is NULL, is told how many entries those were.
 *
 * Returns: `CATZILLA_OK`, also when there were none. Cost: follows what has expired, not what is held; one shard at a time
 * is locked, for some hundred entries each time.
 */
catzilla_status_t catzilla_cache_sweep(catzilla_cache_t *cache,
                                       size_t *swept);

/* ------------------------------------------------------------------------------------------------------------------
 * Writes that depend on what is there
 * ------------------------------------------------------------------------------------------------------------------ */

/** For `catzilla_put_options_t`: store only if the key is not there. */
#define CATZILLA_PUT_IF_ABSENT 1

/** For `catzilla_put_options_t`: store only if the key is there. */
#define CATZILLA_PUT_IF_PRESENT 2

/** For `catzilla_put_options_t`: not to the disk. What it has of the key is removed. */
#define CATZILLA_PUT_NOT_TO_DISK 4

/** For `catzilla_put_options_t`: to memory alone. What Redis and the disk have of the key is removed. */
#define CATZILLA_PUT_MEMORY_ONLY 8

/**
 * For `catzilla_put_options_t`: keep the value as it is, though compression is on. For what is read far more often than it is stored, or
 * is compressed already.
 */
#define CATZILLA_PUT_UNCOMPRESSED 16

/** How many tags an entry can carry. */
#define CATZILLA_MAX_TAGS 64

/** The longest tag, in bytes. */
#define CATZILLA_MAX_TAG_LEN 255

/** Some bytes of the caller's. */
struct catzilla_bytes {
    /** Where they are; may be NULL when there are none. */
    const void *data;
    /** How many there are. */
    size_t len;
};

/** See `struct catzilla_bytes`. */
typedef struct catzilla_bytes catzilla_bytes_t;

/**
 * How `catzilla_cache_put_with` stores. All zeros but for the size: as `catzilla_cache_put` does with `ttl_ms` 0. New
 * members are only ever added at the end, and a struct that is too short for a member stands for 0 in it.
 */
struct catzilla_put_options {
    /** Set by the caller to `sizeof(catzilla_put_options_t)`. */
    size_t struct_size;
    /** The lifetime, as for `catzilla_cache_put`: 0 is the cache's default. */
    uint64_t ttl_ms;
    /** Store only if this is the version that is there, see `catzilla_value_version`; 0: whichever is. */
    uint64_t expected_version;
    /**
     * `CATZILLA_PUT_IF_ABSENT` or `CATZILLA_PUT_IF_PRESENT`, or neither; and with it, `CATZILLA_PUT_NOT_TO_DISK` or
     * `CATZILLA_PUT_MEMORY_ONLY`, or neither; and `CATZILLA_PUT_UNCOMPRESSED`, or not.
     */
    uint32_t flags;
    /**
     * Names that the entry can be purged by (`CATZILLA_PURGE_TAG`): so many of these, which take the place of those that an
     * earlier value had. At most `CATZILLA_MAX_TAGS`, of at most `CATZILLA_MAX_TAG_LEN` bytes. The entry keeps 64 bits of a
     * hash of each: that two tags of a cache are taken for one is possible, and about as likely as one in 2^64 for each pair.
     */
    const catzilla_bytes_t *tags;
    /** How many tags there are. */
    size_t tag_count;
};

/** See `struct catzilla_put_options`. */
typedef struct catzilla_put_options catzilla_put_options_t;

/**
 * Stores a copy of `value` under `key` if what is there allows it. Looking and storing are one step: of several threads that
 * expect one version, or absence, one stores.
 *
 * `options` may be NULL for none. `version`, unless it is NULL, is told the new value's version, at the cost that
 * `catzilla_value_version` has; 0 when nothing was stored, or when the entry was too heavy to be kept (see
 * `catzilla_cache_put`). Returns: as `catzilla_cache_put`; and, nothing having changed, `CATZILLA_EXISTS` with
 * `CATZILLA_PUT_IF_ABSENT`, `CATZILLA_NOT_FOUND` with `CATZILLA_PUT_IF_PRESENT` or an expected version,
 * `CATZILLA_VERSION_MISMATCH` with an expected version; `CATZILLA_INVALID_ARGUMENT` for flags that are unknown, and for
 * `CATZILLA_PUT_IF_ABSENT` beside anything that wants the key to be there. To be refused is neither a request nor a use.
 */
catzilla_status_t catzilla_cache_put_with(catzilla_cache_t *cache,
                                          const void *key,
                                          size_t key_len,
                                          const void *value,
                                          size_t value_len,
                                          const catzilla_put_options_t *options,
                                          uint64_t *version);

/**
 * Gives `key` a new lifetime, from now on, whether it ends sooner or later than the old one. The value and its version stay.
 *
 * `ttl_ms`: as for `catzilla_cache_put`. With `memory.sliding` hits renew this lifetime from then on. Counts neither as a
 * request nor as a use of the entry. Returns: `CATZILLA_OK`; `CATZILLA_NOT_FOUND` when it was not there. Cost: a lock, no
 * copy; values that are held tell the remaining time that they had.
 */
catzilla_status_t catzilla_cache_touch(catzilla_cache_t *cache,
                                       const void *key,
                                       size_t key_len,
                                       uint64_t ttl_ms);

/**
 * Adds `delta`, which may be negative, to the number that `key` has as its value, and stores the sum in `*result`, unless that
 * is NULL. Of several threads none loses what it adds.
 *
 * The number is a text of decimal digits, perhaps after a minus, as `catzilla_cache_put` would store it and
 * `catzilla_cache_read` reads it. A key that is not there is stored as `initial`, to which nothing is added, with the
 * lifetime `ttl_ms` (as for `catzilla_cache_put`); a key that is there keeps the end that it has. It counts as a put and as
 * a use of the entry, not as a request, and makes another version. Returns: `CATZILLA_OK`; `CATZILLA_NOT_A_NUMBER`,
 * `CATZILLA_NUMBER_OVERFLOW`, or a failure of `catzilla_cache_put`, and the value stays as it is.
 */
catzilla_status_t catzilla_cache_increment(catzilla_cache_t *cache,
                                           const void *key,
                                           size_t key_len,
                                           int64_t delta,
                                           int64_t initial,
                                           uint64_t ttl_ms,
                                           int64_t *result);

/* ------------------------------------------------------------------------------------------------------------------
 * Batches
 * ------------------------------------------------------------------------------------------------------------------ */

/** One look-up of `catzilla_cache_get_many`. */
struct catzilla_get {
    /** In: the key. */
    const void *key;
    /** In: its length. */
    size_t key_len;
    /** In: where the value is copied to; no other item's buffer may overlap it. May be NULL when `capacity` is 0. */
    void *buffer;
    /** In: how many bytes the buffer takes. */
    size_t capacity;
    /** Out: the value's length; 0 when there is none. */
    size_t value_len;
    /** Out: what `catzilla_cache_read` returns. */
    catzilla_status_t status;
};

/** See `struct catzilla_get`. */
typedef struct catzilla_get catzilla_get_t;

/** One value of `catzilla_cache_put_many`. */
struct catzilla_put {
    /** In: the key. */
    const void *key;
    /** In: its length. */
    size_t key_len;
    /** In: the value. */
    const void *value;
    /** In: its length. */
    size_t value_len;
    /** In: the lifetime, as for `catzilla_cache_put`: 0 is the cache's default. */
    uint64_t ttl_ms;
    /** Out: what `catzilla_cache_put` returns. */
    catzilla_status_t status;
};

/** See `struct catzilla_put`. */
typedef struct catzilla_put catzilla_put_t;

/** One key of `catzilla_cache_remove_many`. */
struct catzilla_remove {
    /** In: the key. */
    const void *key;
    /** In: its length. */
    size_t key_len;
    /** Out: what `catzilla_cache_remove` returns. */
    catzilla_status_t status;
};

/** See `struct catzilla_remove`. */
typedef struct catzilla_remove catzilla_remove_t;

/**
 * Copies the values of `count` keys, each into its item's buffer.
 *
 * Every item is done, and gets the status and the length that `catzilla_cache_read` would give. Returns: `CATZILLA_OK`,
 * also when keys were not found or buffers too small; when items failed (a status below 0), the status of the first of
 * them, whose message is the last error. A call that is refused as a whole gives every item its own status. `items` may be
 * NULL when `count` is 0. Threads: the items belong to the call until it returns. It is not one moment: what other threads
 * store meanwhile may be seen by some items and not by others.
 */
catzilla_status_t catzilla_cache_get_many(catzilla_cache_t *cache,
                                          catzilla_get_t *items,
                                          size_t count);

/**
 * Stores `count` values in their order, each as `catzilla_cache_put` does.
 *
 * Every item is done, and gets the status that `catzilla_cache_put` would give. Returns: `CATZILLA_OK`; when items failed,
 * the status of the first of them, whose message is the last error; the others are stored. A call that is refused as a
 * whole gives every item its own status. `items` may be NULL when `count` is 0. Threads: the items belong to the call until
 * it returns; other threads may see some of the values before others.
 */
catzilla_status_t catzilla_cache_put_many(catzilla_cache_t *cache,
                                          catzilla_put_t *items,
                                          size_t count);

/**
 * Removes `count` keys.
 *
 * Every item is done, and gets the status that `catzilla_cache_remove` would give. Returns: `CATZILLA_OK`, also when keys
 * were not there; when items failed, the status of the first of them, whose message is the last error; the others are
 * removed. A call that is refused as a whole gives every item its own status. `items` may be NULL when `count` is 0.
 * Threads: the items belong to the call until it returns.
 */
catzilla_status_t catzilla_cache_remove_many(catzilla_cache_t *cache,
                                             catzilla_remove_t *items,
                                             size_t count);

/* ------------------------------------------------------------------------------------------------------------------
 * Values held in place
 * ------------------------------------------------------------------------------------------------------------------ */

/** None: what failed has this result. */
#define CATZILLA_TIER_NONE -1

/** This process's memory. */
#define CATZILLA_TIER_MEMORY 0

/** A Redis server. */
#define CATZILLA_TIER_REDIS 1

/** A file on disk. */
#define CATZILLA_TIER_DISK 2

/** A stored value held by `catzilla_cache_acquire`. */
struct catzilla_value;

/** See `struct catzilla_value`. */
typedef struct catzilla_value catzilla_value_t;

/** The tiers a cache can have; the same numbers as in `cache_tier_t`. */
typedef int32_t catzilla_tier_t;

/**
 * Holds the value of `key` where it is and stores a handle to it in `*value`.
 *
 * Returns: `CATZILLA_OK`; `CATZILLA_NOT_FOUND` or `CATZILLA_OUT_OF_MEMORY`, and `*value` is NULL. Ownership: ended by
 * `catzilla_value_release`, on any thread, also after the cache was destroyed. Cost: no copy, unless the value is
 * compressed; a short lock that is seldom another's.
 */
catzilla_status_t catzilla_cache_acquire(catzilla_cache_t *cache,
                                         const void *key,
                                         size_t key_len,
                                         catzilla_value_t **value);

/**
 * The bytes of a value, aligned to 16; never NULL, not even for a value without bytes.
 *
 * Ownership: good until `catzilla_value_release`. Threads: any number may read at the same time.
 */
const void *catzilla_value_data(const catzilla_value_t *value);

/** How many bytes a value has. */
size_t catzilla_value_size(const catzilla_value_t *value);

/** How many milliseconds the value had left to live, now; 0 when its time is over, `CATZILLA_TTL_FOREVER` when it has no end. */
uint64_t catzilla_value_ttl_ms(const catzilla_value_t *value);

/**
 * Which version of its key the value is: a number above 0 that this cache gives to no other value, the same whenever it is
 * asked for. 0 when the value is not the one in the cache any more: it was overwritten, removed or evicted, its time is
 * over, or the cache is gone; also, with a last error, when there is no memory for the answer.
 *
 * With `expected_version`, `catzilla_cache_put_with` stores only if nobody has stored meanwhile. Threads: other than the
 * rest of a value this asks the cache, so `catzilla_cache_destroy` may come before or after it, not in the middle. Cost: a
 * lock; for as long as the value is in the cache, some 24 bytes, which count as the cache's.
 */
uint64_t catzilla_value_version(const catzilla_value_t *value);

/** Which tier the value came from. */
catzilla_tier_t catzilla_value_tier(const catzilla_value_t *value);

/**
 * Lets a value go; NULL is fine.
 *
 * Threads: any, not only the one that acquired it.
 */
void catzilla_value_release(catzilla_value_t *value);

/* ------------------------------------------------------------------------------------------------------------------
 * Memory alone, for callers that must not wait
 * ------------------------------------------------------------------------------------------------------------------ */

/** Is shown a value where it lies: `len` bytes at `data`, never NULL, good until it returns. */
typedef void (*catzilla_visitor_t)(void *user, const void *data, size_t len);

/**
 * Calls `visitor` with the value that memory has of `key`, before this returns. Redis and disk are not asked, and nothing is
 * waited for: made for event loops, and for interpreters that hold a lock while they call.
 *
 * `is_last`: whether the caller asks nobody else then. A miss counts as one only if it is; a caller who goes on with another
 * look-up is counted there. Returns: `CATZILLA_OK`, and `visitor` has been called once; `CATZILLA_NOT_FOUND` when memory does
 * not have the key; `CATZILLA_OUT_OF_MEMORY` when there is
 * none to decompress the value into.
 *
 * Threads: `visitor` has to be short, since the memory of what is removed meanwhile waits for it. It may call no function of this
 * library, and must not throw. Cost: no lock, no copy unless the value is compressed.
 */
catzilla_status_t catzilla_memory_visit(catzilla_cache_t *cache,
                                        const void *key,
                                        size_t key_len,
                                        bool is_last,
                                        catzilla_visitor_t visitor,
                                        void *user);

/**
 * Copies the value that memory has of `key` into `buffer`, and its length into `*value_len`. Otherwise as
 * `catzilla_memory_visit`.
 *
 * Returns: as `catzilla_cache_read`. A value that does not fit has counted as a hit.
 */
catzilla_status_t catzilla_memory_read(catzilla_cache_t *cache,
                                       const void *key,
                                       size_t key_len,
                                       bool is_last,
                                       void *buffer,
                                       size_t capacity,
                                       size_t *value_len);

/* ------------------------------------------------------------------------------------------------------------------
 * Look-ups that load what is missing
 * ------------------------------------------------------------------------------------------------------------------ */

/** For `timeout_ms`: to wait for as long as it takes. */
#define CATZILLA_WAIT_FOREVER UINT64_MAX

/** The right, and the duty, to load a key: see `catzilla_cache_lease`. */
struct catzilla_lease;

/** What a loader has loaded: see `catzilla_loaded_set`. */
struct catzilla_loaded;

/** See `struct catzilla_loaded`. */
typedef struct catzilla_loaded catzilla_loaded_t;

/**
 * A loader: gets the value of `key` from where it comes from and gives it to `catzilla_loaded_set`. `user` is what
 * `catzilla_cache_get_or_load` was given.
 *
 * Returns: `CATZILLA_OK` after `catzilla_loaded_set`; `CATZILLA_NOT_FOUND`: there is none; a failure of this header, such as
 * `CATZILLA_LOAD_FAILED`, and everybody who waits gets it. Anything else, and `CATZILLA_OK` without a value, counts as
 * `CATZILLA_LOAD_FAILED`. Threads: runs on the thread of its caller, outside all locks, and may call anything but
 * `catzilla_cache_destroy`; it must not ask for its own key. No C++ exception may leave it, nor longjmp. `key` and `loaded` are
 * good until it returns.
 */
typedef catzilla_status_t (*catzilla_loader_fn)(void *user, const void *key, size_t key_len, catzilla_loaded_t *loaded);

/** See `struct catzilla_lease`. */
typedef struct catzilla_lease catzilla_lease_t;

/**
 * Holds the value of `key` and stores a handle to it in `*value`; where it is not in the cache, `loader` loads it. Of many
 * callers who miss a key at the same time one runs its loader, the others wait for that and get what it gets.
 *
 * `timeout_ms` bounds how long this caller waits for another one's loader: 0 is not at all, `CATZILLA_WAIT_FOREVER` as long as
 * it takes. Its own loader runs as long as it runs. If a value was loaded, all get it, also when the cache has no room for it. A
 * key that is put, counted, removed or purged while it is being loaded stays as that has left it: what was loaded goes to
 * those who asked before, and who asks later loads anew. Neither a failure nor "there is none" is kept.
 *
 * Returns: `CATZILLA_OK`; `CATZILLA_NOT_FOUND`: the loader, whoever's it was, says that there is none; `CATZILLA_TIMED_OUT`;
 * `CATZILLA_LOAD_REENTERED` when this thread is loading the key already; what a loader has failed with; `CATZILLA_OUT_OF_MEMORY`;
 * and `*value` is NULL. Ownership: as with `catzilla_cache_acquire`. Threads: loaders that ask for each other's keys wait for
 * each other until `timeout_ms` ends it. Cost: of a value that is there, that of `catzilla_cache_acquire`; a load costs up to
 * some 10 us beside its loader.
 */
catzilla_status_t catzilla_cache_get_or_load(catzilla_cache_t *cache,
                                             const void *key,
                                             size_t key_len,
                                             catzilla_loader_fn loader,
                                             void *user,
                                             uint64_t timeout_ms,
                                             catzilla_value_t **value);

/**
 * Gives a loader's value to the call that runs it; `ttl_ms` is its lifetime, as for `catzilla_cache_put`. The bytes are
 * copied. If it is called again, the last value counts.
 *
 * Returns: `CATZILLA_OK`; `CATZILLA_VALUE_TOO_LARGE` for more bytes than any cache takes, `CATZILLA_OUT_OF_MEMORY`, and there
 * is no value.
 */
catzilla_status_t catzilla_loaded_set(catzilla_loaded_t *loaded,
                                      const void *value,
                                      size_t value_len,
                                      uint64_t ttl_ms);

/**
 * As `catzilla_cache_get_or_load`, for callers who load by themselves: where that would run the loader, this stores a lease in
 * `*lease`. Whoever has one loads the value and ends the lease by `catzilla_lease_fulfil`, `_fail` or `_cancel`; others who ask
 * for the key wait until then, each for its own `timeout_ms`.
 *
 * Returns: `CATZILLA_OK`, and `*value` holds the value; `CATZILLA_NOT_FOUND`, and `*lease` is the caller's to end; or
 * `*lease` is NULL: another caller, for whom this one has waited, has found out that there is none; otherwise as
 * `catzilla_cache_get_or_load`, and both are NULL. Ownership: each of the three calls ends a lease and frees it, on any thread,
 * also when the cache was destroyed before. Threads: the thread that was given a lease may not ask for the same
 * key until it has ended, wherever it is: that is `CATZILLA_LOAD_REENTERED`.
 */
catzilla_status_t catzilla_cache_lease(catzilla_cache_t *cache,
                                       const void *key,
                                       size_t key_len,
                                       uint64_t timeout_ms,
                                       catzilla_value_t **value,
                                       catzilla_lease_t **lease);

/**
 * Ends a lease with the value: it is stored, as by `catzilla_cache_put`, unless the key was put, counted, removed or purged
 * meanwhile, and everybody who waits gets it, stored or not.
 *
 * Returns: `CATZILLA_OK`, also when the cache does not keep the value; `CATZILLA_VALUE_TOO_LARGE` for more bytes than any cache
 * takes, `CATZILLA_INVALID_ARGUMENT`, also when the cache was destroyed, or `CATZILLA_OUT_OF_MEMORY`. The lease is freed
 * whatever is returned, and after a failure it has passed to the next who waits.
 */
catzilla_status_t catzilla_lease_fulfil(catzilla_lease_t *lease,
                                        const void *value,
                                        size_t value_len,
                                        uint64_t ttl_ms);

/**
 * As `catzilla_lease_fulfil`, with tags: of `options` the lifetime, the tags and where the value goes are taken, NULL is fine.
 *
 * Returns: as `catzilla_lease_fulfil`; `CATZILLA_INVALID_ARGUMENT` also for a condition, which a load cannot have.
 */
catzilla_status_t catzilla_lease_fulfil_with(catzilla_lease_t *lease,
                                             const void *value,
                                             size_t value_len,
                                             const catzilla_put_options_t *options);

/**
 * Ends a lease without a value: with `CATZILLA_NOT_FOUND` there is none, any failure of this header is what everybody who waits
 * gets, anything else counts as `CATZILLA_LOAD_FAILED`. Not kept: who asks later loads again.
 *
 * Returns: `CATZILLA_OK`; `CATZILLA_INVALID_ARGUMENT` for NULL. The lease is freed.
 */
catzilla_status_t catzilla_lease_fail(catzilla_lease_t *lease,
                                      catzilla_status_t status);

/** Gives a lease up: the next who waits gets one. Frees it; NULL is fine. */
void catzilla_lease_cancel(catzilla_lease_t *lease);

/* ------------------------------------------------------------------------------------------------------------------
 * Going through the keys
 * ------------------------------------------------------------------------------------------------------------------ */

/** A walk through the keys of a cache. */
struct catzilla_iterator;

/** See `struct catzilla_iterator`. */
typedef struct catzilla_iterator catzilla_iterator_t;

/**
 * Begins to go through the keys that begin with `prefix`, and stores the walk in `*iterator`. All keys begin with a prefix of
 * length 0, which may be NULL.
 *
 * A key that is there from this call until the end is told, whatever is stored, removed or resized meanwhile; one that comes
 * or goes may be told or not; none is told twice, unless it went and came back, or `memory.capacity` changed across 4,096
 * meanwhile. Keys come in no order. Returns: `CATZILLA_OK`; a failure, and `*iterator` is NULL. Ownership: ended by
 * `catzilla_iterator_close`, which may come after the cache was destroyed. Threads: one at a time; its calls count as calls
 * on the cache. It holds no lock between two calls, so it may be left lying for any time, and the cache be changed on
 * the way.
 */
catzilla_status_t catzilla_iterator_open(catzilla_cache_t *cache,
                                         const void *prefix,
                                         size_t prefix_len,
                                         catzilla_iterator_t **iterator);

/**
 * Stores the next key in `*key`, and its length in `*key_len`. The bytes do not end in NUL.
 *
 * Returns: `CATZILLA_OK`; `CATZILLA_NOT_FOUND` when there are no more, also when the cache was destroyed, and `*key` is NULL;
 * `CATZILLA_OUT_OF_MEMORY`, and the next call tries again. Lifetime: until the next call with this iterator. What has
 * expired is left out. Neither a request nor a use of the entry. Cost: every few dozen keys a lock, for as long as it takes
 * to copy them; where few keys have the prefix, one call may take many locks, one after the other.
 */
catzilla_status_t catzilla_iterator_next(catzilla_iterator_t *iterator,
                                         const void **key,
                                         size_t *key_len);

/** Ends a walk; NULL is fine. */
void catzilla_iterator_close(catzilla_iterator_t *iterator);

/* ------------------------------------------------------------------------------------------------------------------
 * Being told of entries that leave
 * ------------------------------------------------------------------------------------------------------------------ */

/** None: what failed has this result. */
#define CATZILLA_CAUSE_NONE -1

/** The cache was full, by entries or by bytes, or memory was short. Also a value that was stored but was too heavy to be kept. */
#define CATZILLA_CAUSE_EVICTED 0

/** Its time was over, and a call or the cache's own thread has met it. */
#define CATZILLA_CAUSE_EXPIRED 1

/** Another value was stored under its key, whether its time was over or not. */
#define CATZILLA_CAUSE_REPLACED 2

/** It was removed by its key. */
#define CATZILLA_CAUSE_REMOVED 3

/** It went with many others, by `catzilla_cache_purge` or `catzilla_cache_clear`. */
#define CATZILLA_CAUSE_PURGED 4

/** An entry that has left a cache. Good until the listener that was told of it returns, for its thread alone. */
struct catzilla_departed;

/** See `struct catzilla_departed`. */
typedef struct catzilla_departed catzilla_departed_t;

/** Is told of entries that leave a cache: see `catzilla_cache_set_listener`. */
typedef void (*catzilla_listener_t)(void *user, const catzilla_departed_t *departed);

/** Why an entry has left a cache. */
typedef int32_t catzilla_cause_t;

/**
 * Has `listener` told of every entry that leaves the cache from now on; NULL: nobody, as at the beginning. May be called at
 * any time.
 *
 * Every entry is told once, with what it was and why it left (`catzilla_departed_key` and so on), by the thread whose call
 * made it leave, when that call has done its work and before it returns; what the cache's own thread frees is told there (its
 * stack has 256 KiB). A call that takes out many entries tells them on the way, some hundred at a time. Entries that one
 * thread makes leave are told in their order; across threads there is none, and a key may be stored anew before its last
 * value is told. Until it is told an entry counts in `memory_lent_bytes`; one that there is no memory to tell of is
 * counted in `memory_untold_departures`. Not told: what `catzilla_cache_destroy` ends; what a look-up finds expired while a
 * writer is busy, until somebody takes it out; entries of a part of the cache that a bug has made unusable.
 *
 * Threads: `listener` is called outside all locks, perhaps by several threads at once. It may call anything but
 * `catzilla_cache_destroy`, also this; what its own calls make leave is told after it has returned, so nothing recurses.
 * Its classic look-ups count among those of its thread, and its failures are the thread's last error. It must not throw.
 * When this function returns, no call of the former listener is under way and none will begin, so what `user` points to
 * may go; but when it was called by a listener of this cache it waits for nobody, and a later call from outside does. Do not
 * hold what a listener waits for. In a forked child other threads' entries are not told. Returns: `CATZILLA_OK`.
 * Cost: for each entry that leaves a few short locks; without a listener nothing.
 */
catzilla_status_t catzilla_cache_set_listener(catzilla_cache_t *cache,
                                              catzilla_listener_t listener,
                                              void *user);

/** The key of an entry that has left; never NULL, not even for the empty key. */
const void *catzilla_departed_key(const catzilla_departed_t *departed);

/** How many bytes the key has. */
size_t catzilla_departed_key_size(const catzilla_departed_t *departed);

/**
 * The value of an entry that has left, aligned to 16; never NULL for one without bytes.
 *
 * Returns: NULL, with a last error, when the value is kept compressed and there is no memory for its plain form. Cost:
 * decompresses such a value, once.
 */
const void *catzilla_departed_value(const catzilla_departed_t *departed);

/** How many bytes the value has. Cost: decompresses nothing. */
size_t catzilla_departed_value_size(const catzilla_departed_t *departed);

/** Why the entry has left. */
catzilla_cause_t catzilla_departed_cause(const catzilla_departed_t *departed);

/* ------------------------------------------------------------------------------------------------------------------
 * Statistics
 * ------------------------------------------------------------------------------------------------------------------ */

/**
 * The figures of the modern group; counters run from the cache's creation, sizes are bytes. New members are only ever
 * added at the end.
 */
struct catzilla_statistics {
    /** Set by the caller to `sizeof(catzilla_statistics_t)`; on return how many bytes of the struct were filled. */
    size_t struct_size;
    /** Requests answered, by any tier. */
    uint64_t hits;
    /** Requests that no tier could answer; meeting an expired entry is one. */
    uint64_t misses;
    /** `hits + misses`. */
    uint64_t requests;
    /** `hits / requests`; 0 before the first. */
    double hit_ratio;
    /** Values stored. */
    uint64_t puts;
    /** Entries removed by their key or by a purge. */
    uint64_t removals;
    /** Requests answered from memory. */
    uint64_t memory_hits;
    /** Requests that memory could not answer. */
    uint64_t memory_misses;
    /** Entries in memory; an expired one counts until it is met or swept. */
    uint64_t memory_entries;
    /** How many entries memory may hold; `UINT64_MAX` without a bound. */
    uint64_t memory_capacity;
    /**
     * Memory of the live entries (keys, values, headers), as the allocator rounds it, and of what finds, orders and
     * expires them.
     */
    uint64_t memory_bytes;
    /** Bound on `memory_bytes`; `UINT64_MAX` without one. */
    uint64_t memory_max_bytes;
    /** The index's part of `memory_bytes`. */
    uint64_t memory_index_bytes;
    /** Removed entries and decompressed copies that somebody may still be reading; not part of `memory_bytes`. */
    uint64_t memory_lent_bytes;
    /** Pages that the cache's jemalloc arena has in use; 0 for a cache without an arena. */
    uint64_t memory_active_bytes;
    /** Entries removed because the cache was full. */
    uint64_t memory_evictions;
    /** Entries removed because their lifetime was over. */
    uint64_t memory_expirations;
    /** Values that were stored compressed. */
    uint64_t memory_compressed_puts;
    /** Bytes of those values before compression. */
    uint64_t memory_compression_input_bytes;
    /** Bytes of those values after compression. */
    uint64_t memory_compression_output_bytes;
    /** How many times smaller compression made the values it was used on; 1 before the first. */
    double memory_compression_ratio;
    /** How often `memory.shrink_on_pressure` has given memory back; the entries that went count as evictions. */
    uint64_t memory_pressure_shrinks;
    /** Keys that were missed and that a caller then began to load, by `catzilla_cache_get_or_load` or a lease. */
    uint64_t loads;
    /** Those that ended with a failure. */
    uint64_t load_failures;
    /** Callers that waited for somebody else's load. */
    uint64_t load_waits;
    /** Entries that left while there was a listener, and that there was no memory to tell it of. */
    uint64_t memory_untold_departures;
    /** Look-ups of one key whose time was taken: about one in 1,024 of them, hit or miss, chosen at random. */
    uint64_t memory_read_samples;
    /**
     * Nanoseconds that half of these took at most, inside the library, exact to a thirtieth, and the 20 to 50 that reading
     * the clock takes in them.
     */
    uint64_t memory_read_p50_ns;
    /** The same for 99 of 100. */
    uint64_t memory_read_p99_ns;
    /** The same for 999 of 1,000. */
    uint64_t memory_read_p999_ns;
    /** The longest of them. */
    uint64_t memory_read_max_ns;
    /** Calls that store one value whose time was taken: about one in 64 of them. The time that a listener takes is not in it. */
    uint64_t memory_write_samples;
    /** As for look-ups. */
    uint64_t memory_write_p50_ns;
    /** As for look-ups. */
    uint64_t memory_write_p99_ns;
    /** As for look-ups. */
    uint64_t memory_write_p999_ns;
    /** As for look-ups. */
    uint64_t memory_write_max_ns;
    /** Look-ups that Redis has answered; 0 in a cache without it. More of it: `catzilla_cache_tier_statistics`. */
    uint64_t redis_hits;
    /** Look-ups that Redis could not answer. */
    uint64_t redis_misses;
    /** Calls on Redis that failed. */
    uint64_t redis_errors;
    /** As for Redis, of the disk. */
    uint64_t disk_hits;
    /** As for Redis, of the disk. */
    uint64_t disk_misses;
    /** As for Redis, of the disk. */
    uint64_t disk_errors;
};

/** See `struct catzilla_statistics`. */
typedef struct catzilla_statistics catzilla_statistics_t;

/**
 * Fills `*statistics`, as far as its `struct_size` says that the caller knows the struct.
 *
 * Returns: `CATZILLA_OK`, whatever the size; when it is smaller than itself, which means that it was forgotten, nothing is
 * filled, and the logger is told. Cost: looks into every shard; not for every request.
 */
catzilla_status_t catzilla_cache_statistics(catzilla_cache_t *cache,
                                            catzilla_statistics_t *statistics);

/* ------------------------------------------------------------------------------------------------------------------
 * Tiers below memory
 * ------------------------------------------------------------------------------------------------------------------ */

/** How many bytes the text of `catzilla_health_t` has, its NUL included; a longer one is cut. */
#define CATZILLA_HEALTH_TEXT 256

/** How a tier is doing. New members are only ever added at the end. */
struct catzilla_health {
    /** Set by the caller to `sizeof(catzilla_health_t)`; on return how many bytes of the struct were filled. */
    size_t struct_size;
    /** 1: the tier is asked. 0: it is left alone because it has failed, and tried again by itself. */
    int32_t is_up;
    /** Not used; 0. */
    int32_t reserved;
    /** When the tier failed last, in microseconds since the Unix epoch; 0: never. */
    uint64_t last_error_at;
    /** What went wrong then, in words; empty: nothing yet. Ends in NUL. */
    char last_error[CATZILLA_HEALTH_TEXT];
};

/** See `struct catzilla_health`. */
typedef struct catzilla_health catzilla_health_t;

/**
 * The figures of a tier below memory; counters run from the cache's creation, sizes are bytes. New members are only ever
 * added at the end.
 */
struct catzilla_tier_statistics {
    /** Set by the caller to `sizeof(catzilla_tier_statistics_t)`; on return how many bytes of the struct were filled. */
    size_t struct_size;
    /** Look-ups that the tier has answered. One is made for all who miss a key at the same time. */
    uint64_t hits;
    /** Look-ups that it has answered with "not there", or with something that is no longer to be believed. */
    uint64_t misses;
    /** Values that it has taken. */
    uint64_t puts;
    /** Keys that it has removed. */
    uint64_t removals;
    /** Calls on it that failed, of whatever kind. */
    uint64_t errors;
    /** Of these: no answer in time. */
    uint64_t timeouts;
    /** Of these: no connection, or it broke. */
    uint64_t connection_errors;
    /** Of these: it said no (a wrong password, a server that is loading, a lack of rights). */
    uint64_t refusals;
    /** Of these: no room for a write. */
    uint64_t full_errors;
    /** Of these: its file was found damaged. */
    uint64_t damage_errors;
    /** Values that were too large for it. */
    uint64_t too_large;
    /** Values that could not be read: of another program or version, or damaged. Each was a miss. */
    uint64_t unreadable;
    /** Values that had been purged, by whichever process. Each was a miss. */
    uint64_t outdated;
    /** 1 while the tier is left alone because it has failed (its breaker is open). */
    uint64_t is_open;
    /** How often that has begun. */
    uint64_t openings;
    /** Keys that it has; 0 where that is not known. */
    uint64_t entries;
    /** Bytes that it takes; 0 where that is not known. */
    uint64_t bytes;
    /** Bound on `bytes`; 0 without one. */
    uint64_t max_bytes;
    /** Values removed because the tier was full. */
    uint64_t evictions;
    /** Values removed because their time was over. */
    uint64_t expirations;
    /** Writes that wait for it. */
    uint64_t queued;
    /** Bytes of these. */
    uint64_t queued_bytes;
    /**
     * Values that were not written, because too much was waiting or the tier could not be reached. What it had of their keys
     * is removed before it is asked again.
     */
    uint64_t dropped_writes;
    /** Keys that have to be removed before it is asked again. */
    uint64_t owed;
    /** Keys that ever were. */
    uint64_t owed_ever;
    /** How often those were too many, so that the tier was cleared. */
    uint64_t owed_overflows;
    /** Values that memory had evicted and that were written to it for that. */
    uint64_t demotions;
    /** How often its file could not be used any more, was set aside and begun anew. */
    uint64_t set_aside;
    /** Connections that are open. */
    uint64_t connections;
    /** Connections that were made. */
    uint64_t connects;
    /** Look-ups whose time was taken: all of several keys; of those of one key the first 1,024, and then one in 16. */
    uint64_t read_samples;
    /** Half of them took no longer, in nanoseconds. */
    uint64_t read_p50_ns;
    /** 99 of 100 took no longer. */
    uint64_t read_p99_ns;
    /** 999 of 1,000 took no longer. */
    uint64_t read_p999_ns;
    /** The longest of them. */
    uint64_t read_max_ns;
    /** Round trips or transactions that wrote, whose time was taken: all. */
    uint64_t write_samples;
    /** As for look-ups. */
    uint64_t write_p50_ns;
    /** As for look-ups. */
    uint64_t write_p99_ns;
    /** As for look-ups. */
    uint64_t write_p999_ns;
    /** As for look-ups. */
    uint64_t write_max_ns;
};

/** See `struct catzilla_tier_statistics`. */
typedef struct catzilla_tier_statistics catzilla_tier_statistics_t;

/**
 * Waits until everything that was stored or removed before is in the tiers below memory, for at most `timeout_ms` a tier
 * (`CATZILLA_WAIT_FOREVER`: as long as it takes).
 *
 * Returns: `CATZILLA_OK`, at once when nothing waits; `CATZILLA_TIER_UNAVAILABLE` when a tier could not take everything in that
 * time, or cannot be reached. What waits still does then.
 */
catzilla_status_t catzilla_cache_flush(catzilla_cache_t *cache,
                                       uint64_t timeout_ms);

/**
 * Whether one tier has `key`, whatever the others have. Asks it; counts neither as a request nor as a use.
 *
 * Returns: `CATZILLA_OK`; `CATZILLA_NOT_FOUND`, also when the cache has no such tier or it cannot be reached;
 * `CATZILLA_INVALID_ARGUMENT` for a number that is no tier.
 */
catzilla_status_t catzilla_tier_contains(catzilla_cache_t *cache,
                                         catzilla_tier_t tier,
                                         const void *key,
                                         size_t key_len);

/**
 * Removes `key` from one tier. The others keep what they have, and a look-up that finds it there brings it back.
 *
 * Returns: as `catzilla_tier_contains`: `CATZILLA_OK` when it was there.
 */
catzilla_status_t catzilla_tier_remove(catzilla_cache_t *cache, catzilla_tier_t tier, const void *key, size_t key_len);

/**
 * Fills `*health` for a tier, as far as its `struct_size` says that the caller knows the struct. Asks nobody.
 *
 * Returns: `CATZILLA_OK`; `CATZILLA_NOT_FOUND` when the cache has no such tier, and nothing is filled;
 * `CATZILLA_INVALID_ARGUMENT` for a number that is no tier.
 */
catzilla_status_t catzilla_cache_health(catzilla_cache_t *cache, catzilla_tier_t tier, catzilla_health_t *health);

/**
 * Fills `*statistics` for a tier below memory, as far as its `struct_size` says that the caller knows the struct. Asks nobody.
 *
 * Returns: as `catzilla_cache_health`; the figures of memory are `catzilla_cache_statistics`'.
 */
catzilla_status_t catzilla_cache_tier_statistics(catzilla_cache_t *cache,
                                                 catzilla_tier_t tier,
                                                 catzilla_tier_statistics_t *statistics);

/* ------------------------------------------------------------------------------------------------------------------
 * Classic group: types of the original engine, frozen
 * ------------------------------------------------------------------------------------------------------------------ */

/** How many further classic look-ups of the same thread a classic result survives. */
#define CATZILLA_CLASSIC_RESULT_LIFETIME 64

/** The tiers a cache can have. */
enum cache_tier {
    /** This process's memory. */
    CACHE_TIER_MEMORY = 0,
    /** A Redis server. */
    CACHE_TIER_REDIS = 1,
    /** A file on disk. */
    CACHE_TIER_DISK = 2,
};

/** An entry of a cache. Never complete: what an entry looks like is the library's own business. */
struct cache_entry;

/** A cache made by `multi_cache_create`. */
struct multi_cache;

/** See `enum cache_tier`. */
typedef enum cache_tier cache_tier_t;

/** The configuration of the classic group. Frozen: 40 bytes. */
struct cache_config {
    /** Entries the cache may hold; 0 is refused. */
    size_t capacity;
    /** A hint; 0 is fine, and any other number too. */
    size_t bucket_count;
    /** Lifetime in seconds of what is stored with `ttl` 0; 0 is 3600. */
    uint32_t default_ttl;
    /** Longer values are refused, in bytes; 0 is 100 MiB. */
    size_t max_value_size;
    /** LZ4 for values above a threshold. */
    bool compression_enabled;
    /** A jemalloc arena of the cache's own. */
    bool jemalloc_enabled;
};

/** See `struct cache_config`. */
typedef struct cache_config cache_config_t;

/** The figures of the classic group. Frozen: 64 bytes. */
struct cache_statistics {
    /** Look-ups that found something. */
    uint64_t hits;
    /** Look-ups that found nothing, or something expired. */
    uint64_t misses;
    /** Entries removed because the cache was full. */
    uint64_t evictions;
    /** Memory of the live entries, as the allocator rounds it, and of what finds, orders and expires them; in bytes. */
    uint64_t memory_usage;
    /** `hits + misses`. */
    uint64_t total_requests;
    /** `hits / total_requests`; 0 before the first. */
    double hit_ratio;
    /** Entries held now. */
    uint64_t size;
    /** Entries the cache may hold. */
    uint64_t capacity;
};

/** See `struct cache_statistics`. */
typedef struct cache_statistics cache_statistics_t;

/** What a classic look-up returns. Frozen: 24 bytes. */
struct cache_result {
    /** The value, aligned to 16 bytes; never NULL when `found`, not even for a value without bytes. */
    void *data;
    /** How many bytes the value has. */
    size_t size;
    /** Whether the key was there. */
    bool found;
};

/** See `struct cache_result`. */
typedef struct cache_result cache_result_t;

/** See `struct cache_entry`. */
typedef struct cache_entry cache_entry_t;

/** A counter of the original engine's structs; a plain integer. */
typedef uint64_t catzilla_atomic_uint64_t;

/** A size of the original engine's structs; a plain integer. */
typedef size_t catzilla_atomic_size_t;

/** See `struct multi_cache`. */
typedef struct multi_cache multi_cache_t;

/* ------------------------------------------------------------------------------------------------------------------
 * Classic group: the original engine's functions
 * ------------------------------------------------------------------------------------------------------------------ */

/**
 * Makes a cache of at most `capacity` entries, with a lifetime of 3600 seconds unless another is given, values up to
 * 100 MiB, no compression and a jemalloc arena of its own. `bucket_count` is a hint; 0 is fine.
 *
 * Returns: the cache; NULL for `capacity` 0. Ownership: ended by `catzilla_cache_destroy`.
 */
catzilla_cache_t *catzilla_cache_create(size_t capacity, size_t bucket_count);

/**
 * Makes a cache as `config` says. `default_ttl` 0 is 3600 seconds, `max_value_size` 0 is 100 MiB.
 *
 * Returns: the cache; NULL when `config` is NULL or its `capacity` is 0. Ownership: ended by `catzilla_cache_destroy`.
 */
catzilla_cache_t *catzilla_cache_create_with_config(const cache_config_t *config);

/**
 * Stores a copy of `value` under `key`, in place of an earlier value. May evict other entries.
 *
 * `ttl`: lifetime in seconds; 0 is the cache's default. Returns: 0; -1 for a NULL argument or a value that is too long,
 * and an earlier value of the key stays.
 */
int catzilla_cache_set(catzilla_cache_t *cache, const char *key, const void *value, size_t value_size, uint32_t ttl);

/**
 * Looks `key` up.
 *
 * Returns: `found` is false for a miss. Ownership: `data` is good until the same thread has made
 * `CATZILLA_CLASSIC_RESULT_LIFETIME` more such calls, on whichever cache, hit or miss; or that thread ends; or the cache is
 * destroyed; whatever other threads do in between. `catzilla_release_results` ends it early. Do not write to it or free it.
 */
cache_result_t catzilla_cache_get(catzilla_cache_t *cache,
                                  const char *key);

/**
 * Removes `key`.
 *
 * Returns: 0; -1 when it was not there, or for a NULL argument.
 */
int catzilla_cache_delete(catzilla_cache_t *cache, const char *key);

/** Whether `key` is there. Counts neither as a request nor as a use of the entry. */
bool catzilla_cache_exists(catzilla_cache_t *cache, const char *key);

/** The cache's figures; all 0 for a NULL handle. Cost: takes no lock. */
cache_statistics_t catzilla_cache_get_stats(catzilla_cache_t *cache);

/** Removes every entry. The counters stay. */
void catzilla_cache_clear(catzilla_cache_t *cache);

/**
 * Ends a cache, whichever function made it; NULL is fine.
 *
 * Threads: every other call on the handle has returned. Classic results of the cache end with it; values held by
 * `catzilla_cache_acquire` do not.
 */
void catzilla_cache_destroy(catzilla_cache_t *cache);

/**
 * Changes what `config` says of a running cache; entries that are too many now are evicted before this returns. Zeros
 * mean what they mean to `catzilla_cache_create_with_config`. `jemalloc_enabled` stays as the cache was made.
 *
 * Returns: 0; -1 for a NULL argument or `capacity` 0, and nothing has changed.
 */
int catzilla_cache_configure(catzilla_cache_t *cache, const cache_config_t *config);

/**
 * Frees the entries whose lifetime is over.
 *
 * Returns: how many there were; those that a look-up met before are gone already.
 */
size_t catzilla_cache_expire_entries(catzilla_cache_t *cache);

/**
 * Memory of the live entries (keys, values, headers), as the allocator rounds it, and of what finds, orders and expires
 * them; in bytes. Falls when entries go. Cost: takes no lock.
 */
size_t catzilla_cache_memory_usage(catzilla_cache_t *cache);

/**
 * Changes how many entries a running cache may hold; what is too many is evicted before this returns.
 *
 * Returns: 0; -1 for a NULL handle or a capacity of 0, and nothing has changed.
 */
int catzilla_cache_resize(catzilla_cache_t *cache, size_t new_capacity);

/** Ends all classic results of the calling thread now, so that the memory of removed entries can go. */
void catzilla_release_results(void);

/**
 * Writes the key of a request, `METHOD:path?query:hhhhhhhh`, and a NUL into `key_buffer`. `?query` is left out when
 * `query_string` is NULL or empty; `hhhhhhhh` is `headers_hash` in hexadecimal.
 *
 * Returns: the key's length without the NUL; -1 when it does not fit or another argument is NULL.
 */
int catzilla_cache_generate_key(const char *method,
                                const char *path,
                                const char *query_string,
                                uint32_t headers_hash,
                                char *key_buffer,
                                size_t buffer_size);

/** 32-bit FNV-1a of the `len` bytes of `key`; 0 for a NULL key. */
uint32_t catzilla_cache_hash_key(const char *key, size_t len);

/** Microseconds since the Unix epoch, by the wall clock. */
uint64_t catzilla_cache_get_timestamp(void);

/* ------------------------------------------------------------------------------------------------------------------
 * Classic multi-level group
 * ------------------------------------------------------------------------------------------------------------------ */

/**
 * Makes a cache of up to three tiers: memory as `memory_config` says, Redis at `redis_url` (the option `redis.url`), and the folder
 * `disk_path` on disk (`disk.path`). NULL or an empty text: no such tier.
 *
 * Returns: the cache; NULL with a last error when `memory_config` is NULL or its capacity is 0, or for what can never work: a
 * URL that is none, a folder that cannot be made, is not the user's own or is a link. A Redis that does not answer is no reason: it joins when it
 * comes up. Ownership: ended by `multi_cache_destroy`. What is stored without a lifetime lives a day in Redis and a week on disk.
 */
multi_cache_t *multi_cache_create(const cache_config_t *memory_config,
                                  const char *redis_url,
                                  const char *disk_path);

/** Looks `key` up; see `catzilla_cache_get`, also for how long the result lives. */
cache_result_t multi_cache_get(multi_cache_t *cache, const char *key);

/** Stores a copy of `value` under `key`; see `catzilla_cache_set`. */
int multi_cache_set(multi_cache_t *cache, const char *key, const void *value, size_t value_size, uint32_t ttl);

/** Removes `key` from every tier; see `catzilla_cache_delete`. */
int multi_cache_delete(multi_cache_t *cache, const char *key);

/** Ends a cache that `multi_cache_create` made; NULL is fine. See `catzilla_cache_destroy`. */
void multi_cache_destroy(multi_cache_t *cache);

#ifdef __cplusplus
}
#endif

#endif
