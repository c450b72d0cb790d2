/*
 * cache_engine.h: for programs written for the original engine. They include this name, compile unchanged, and run on
 * catzilla-cache once relinked. New programs include catzilla_cache.h.
 *
 * Not supported: reaching into the members of the original's public structs. They are opaque here.
 */
#ifndef CATZILLA_CACHE_ENGINE_H
#define CATZILLA_CACHE_ENGINE_H

/* The original header brought these along, and programs rely on it. */
#include <stdint.h>
#include <stdbool.h>
#include <stddef.h>
#include <pthread.h>

#include "catzilla_cache.h"

/* The counters in cache_statistics_t are plain integers; these names let code that read them "atomically" compile. */
#ifndef catzilla_atomic_load
#define catzilla_atomic_load(pointer) (*(pointer))
#define catzilla_atomic_store(pointer, value) (*(pointer) = (value))
#define catzilla_atomic_fetch_add(pointer, value) (__sync_fetch_and_add((pointer), (value)))
#define catzilla_atomic_fetch_sub(pointer, value) (__sync_fetch_and_sub((pointer), (value)))
#endif

#endif /* CATZILLA_CACHE_ENGINE_H */
