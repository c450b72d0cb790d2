"""The smallest useful program: open a cache, store, read, let something expire, look at the counters.

From a checkout, after `cargo build --release --locked`:

    PYTHONPATH=bindings/python python3 examples/python/quickstart.py
"""

import time

from catzilla_cache import BytesCache


def main() -> None:
    # Options go by name; catzilla_cache.available_options() lists them with their defaults.
    with BytesCache({"memory.capacity": 10_000, "memory.ttl": "5m"}) as cache:
        # Keys are str or bytes, values are bytes.
        cache.set("user:1", b"ada")
        name = cache.get("user:1")
        assert name is not None
        print("hello,", name.decode())

        # It reads like a dict. A miss is None, or a KeyError in brackets.
        cache["user:2"] = b"grace"
        print("user:2" in cache, cache["user:2"], cache.get("user:3"))

        # A lifetime of its own, in seconds.
        cache.set("token", b"secret", ttl=1)
        time.sleep(1.1)
        print("the token is gone after its second:", cache.get("token") is None)

        counted = cache.statistics()
        print(f"{counted.hits} hits, {counted.misses} misses, {len(cache)} entries in {counted.memory_bytes} bytes")


if __name__ == "__main__":
    main()
