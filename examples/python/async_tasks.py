"""Tasks that share a cache: a decorator for coroutines, one load for all who wait, values that are served while they are renewed.

    PYTHONPATH=bindings/python python3 examples/python/async_tasks.py

Prints:

    50 tasks, 1 load: every one got 49
    decorated: 36 36 computed 1 time
    its time is over, and it is served: price 1
    when it was loaded anew: price 2
    warmed: 3 loaded, then 0
    several at once: {'a': 1, 'b': 2}
"""

import asyncio

from catzilla_cache.smart_cache import SmartCache, SmartCacheConfig, cached

loads = 0


async def square(number: int) -> int:
    global loads
    loads += 1
    await asyncio.sleep(0.05)
    return number * number


computed = 0


@cached(ttl=60)
async def decorated(number: int) -> int:
    global computed
    computed += 1
    return await square(number)


prices = 0


async def price() -> str:
    global prices
    prices += 1
    return f"price {prices}"


async def main() -> None:
    with SmartCache(SmartCacheConfig(memory_capacity=1000)) as cache:
        # A hit in memory takes no thread; Redis and disk, if there are any, never hold up the loop.
        aio = cache.aio

        answers = await asyncio.gather(*(aio.get_or_set("square:7", lambda: square(7), ttl=60) for _ in range(50)))
        print(f"50 tasks, {loads} load: every one got {answers[0] if len(set(answers)) == 1 else answers}")

        print("decorated:", await decorated(6), await decorated(number=6), f"computed {computed} time")

        # Its time is over after 0.1 s; for a minute more it is served while somebody loads it anew.
        old = await aio.get_or_set("price", price, ttl=0.1, grace=60)
        await asyncio.sleep(0.2)
        print("its time is over, and it is served:", await aio.get_or_set("price", price, ttl=60, grace=60))
        while (now := await aio.get_or_set("price", price, ttl=60, grace=60)) == old:
            await asyncio.sleep(0.01)
        print("when it was loaded anew:", now)

        loaders = [(f"square:{number}", lambda number=number: square(number)) for number in (1, 2, 3)]
        print(f"warmed: {await aio.warm(loaders, ttl=60)} loaded, then {await aio.warm(loaders, ttl=60)}")

        await aio.set_many({"a": 1, "b": 2}, ttl=60)
        print("several at once:", await aio.get_many(["a", "b", "absent"]))


if __name__ == "__main__":
    asyncio.run(main())
