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
