"""The smallest useful program: open a cache, store, read, load what is missing, let something expire, look at the counters.

    pip install .          # in a clone; or, without installing: make python, and PYTHONPATH=bindings/python
    python3 examples/python/quickstart.py

It prints:

    hello, ada
    True False
    loading the page
    <html> <html>
    the token is gone after its second: True
    2 hits, 2 misses, 3 entries
"""

import time

from catzilla_cache import SmartCache, SmartCacheConfig


def load_page() -> str:
    print("loading the page")
    return "<html>"


def main() -> None:
    # In memory; redis_enabled=True and disk_enabled=True put Redis and a file below it.
    with SmartCache(SmartCacheConfig(memory_capacity=10_000, memory_ttl=300)) as cache:
        # Keys are str or bytes, values nearly anything. What comes back is a copy, and whether it was there.
        cache.set("user:1", {"name": "ada", "roles": ["admin"]})
        user, found = cache.get("user:1")
        if found:
            print("hello,", user["name"])

        # It reads like a dict, and None is a value like any other.
        cache["nobody"] = None
        print("nobody" in cache, "somebody" in cache)

        # Loaded if it is absent, once for all threads and tasks that miss it at the same time.
        print(cache.get_or_set("page", load_page), cache.get_or_set("page", load_page))

        # A lifetime of its own, in seconds.
        cache.set("token", "secret", ttl=1)
        time.sleep(1.1)
        print("the token is gone after its second:", cache.get("token") == (None, False))

        stats = cache.get_stats()
        print(f"{stats.hits} hits, {stats.misses} misses, {stats.size} entries")


if __name__ == "__main__":
    main()
