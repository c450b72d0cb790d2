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
 *  7. Lifetimes of entries. Never shorter than asked for, at most 20 ms longer. The wall clock plays no part.
 *  8. Memory. Figures are what the allocator takes, not what was asked of it. A cache made with its own arena gives all of
 *     it back when it is destroyed and the last acquired value is released.
 *  9. fork. The child may go on using every cache, also when other threads of the parent were in the middle of a call.
 *     The library is never unloaded.
 * 10. Versions. The number in the library's name (CATZILLA_CACHE_ABI) changes when a program that was linked before could
 *     break. Structs with a struct_size member, and structs that only the library makes, grow at the end.
 * 11. Threads of the library. A cache starts one of its own when the first entry is stored that can expire, to free what
 *     nobody asks for any more; destroy ends it, a forked child starts its own, no signal is handled on it. The option
 *     memory.sweep_interval says how often it comes, and with off that there is none. Nothing relies on it.
 *
 * Symptoms
 *
 *  - Old data after destroy, or a crash while reading it: a classic result does not outlive its cache; use acquire.
 *  - A classic result changes under the eyes of a thread that holds more than 64 of them: hold values with acquire.
 *  - Every figure of the statistics is 0: struct_size was not set to sizeof(catzilla_statistics_t) before the call.
 *  - Items of a batch hold nonsense: two of them were given one buffer, or parts of one.
 *  - create returns NULL: a capacity of 0; catzilla_last_error_message() says so.
 */
