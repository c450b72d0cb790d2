"""Memory, Redis and disk behind one cache: who answers, what is left after a restart, what goes together.

    PYTHONPATH=bindings/python python3 examples/python/three_tiers.py                         (memory and disk)
    REDIS_URL=redis://localhost:6379/0 PYTHONPATH=... python3 examples/python/three_tiers.py  (all three)

Starts no server. The disk tier is in a temporary folder, which is removed at the end. Prints, without Redis:

    tiers: memory up, redis not there, disk up
    of 1000 values in memory for 100: 1000
    key 1 comes from disk, then from memory
    after a restart: Fraction(1, 3) and {'n': 5}
    articles are gone: 0 of 2, the rest is there: True
"""

import os
import tempfile
from fractions import Fraction
from pathlib import Path
from typing import Optional

from catzilla_cache.smart_cache import SmartCache, SmartCacheConfig


def opened(folder: Path, redis_url: Optional[str]) -> SmartCache:
    return SmartCache(
        SmartCacheConfig(
            memory_capacity=100,
            disk_enabled=True,
            disk_path=str(folder),
            redis_enabled=redis_url is not None,
            redis_url=redis_url or "",
            # What is pickled is signed before it leaves the process; with Redis the key comes from the configuration.
            secret="an example's key, kept with the other secrets" if redis_url else None,
            # No other program's entries are touched; one shard, so that memory holds exactly a hundred.
            options={"redis.key_prefix": f"catzilla-example-{os.getpid()}:", "memory.shards": 1, "memory.policy": "lru"},
        )
    )


def answering(cache: SmartCache, key: str) -> str:
    """The tier that a key is found in."""
    before = cache.get_stats().tier_stats
    cache.get(key)
    after = cache.get_stats().tier_stats
    return next(tier for tier in after if after[tier]["hits"] > before[tier]["hits"])


def main() -> None:
    redis_url = os.environ.get("REDIS_URL")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "cache"
        with opened(folder, redis_url) as cache:
            up = cache.health_check()
            there = {"memory": True, "redis": redis_url is not None, "disk": True}
            print(
                "tiers:",
                ", ".join(f"{tier} {'up' if up[tier] else 'down' if there[tier] else 'not there'}" for tier in there),
            )

            cache.set_many({f"key {number}": {"n": number} for number in range(1000)}, ttl=3600)
            # So that what is asked below is answered there, and not from what still waits to be written.
            cache.flush(10)
            found = sum(cache.get(f"key {number}") == ({"n": number}, True) for number in range(1000))
            print("of 1000 values in memory for 100:", found)
            print("key 1 comes from", answering(cache, "key 1") + ", then from", answering(cache, "key 1"))

            # Of no type that the built-in encoding has: pickled and signed.
            cache.set("third", Fraction(1, 3))
            cache.set("article 1", "text", tags=["articles"])
            cache.set("article 2", "text", tags=["articles"])

        with opened(folder, redis_url) as cache:
            print("after a restart:", repr(cache.get("third")[0]), "and", cache["key 5"])
            cache.invalidate("articles")
            left = len(cache.get_many(["article 1", "article 2"]))
            print(f"articles are gone: {left} of 2, the rest is there:", "key 6" in cache)
            # The folder goes by itself; in Redis nothing is left, either.
            cache.clear()


if __name__ == "__main__":
    main()
