"""A FastAPI application that caches what is slow: one call of it for all requests that miss at the same time.

    PYTHONPATH=bindings/python python3 examples/python/fastapi_app.py          (needs fastapi and httpx)
    PYTHONPATH=bindings/python:examples/python uvicorn --workers 4 fastapi_app:app

Run as a program it asks itself, and prints:

    20 requests at the same time: 1 call of the database, all answers alike
    again: {'id': 7, 'name': 'user 7', 'visits': 1}
    after a change: {'id': 7, 'name': 'Ada', 'visits': 1}
    an unknown user: 404, asked twice, looked for 1 time
"""

import asyncio
from contextlib import asynccontextmanager
from typing import Any, AsyncIterator, Dict, Optional

from fastapi import FastAPI, HTTPException

from catzilla_cache.smart_cache import SmartCache, SmartCacheConfig

# Opened when the module is imported: each worker has one. With REDIS_URL in `options` they would share what they load:
# SmartCacheConfig(options={"redis.url": os.environ["REDIS_URL"]}).
cache = SmartCache(SmartCacheConfig(memory_capacity=10_000))

#: Stands for a database.
users: Dict[int, Dict[str, Any]] = {number: {"id": number, "name": f"user {number}", "visits": 0} for number in range(100)}
calls = 0


async def load_user(number: int) -> Optional[Dict[str, Any]]:
    global calls
    calls += 1
    await asyncio.sleep(0.1)
    user = users.get(number)
    return None if user is None else {**user, "visits": calls}


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    yield
    # Writes what waits for Redis or disk.
    await cache.aio.close()


app = FastAPI(lifespan=lifespan)


@app.get("/users/{number}")
async def read_user(number: int) -> Dict[str, Any]:
    # None is a value, too: that there is no such user is remembered like everything else.
    user: Optional[Dict[str, Any]] = await cache.aio.get_or_set(f"user:{number}", lambda: load_user(number), ttl=60)
    if user is None:
        raise HTTPException(404, "no such user")
    return user


@app.put("/users/{number}")
async def rename_user(number: int, name: str) -> Dict[str, str]:
    users[number]["name"] = name
    await cache.aio.delete(f"user:{number}")
    return {"name": name}


async def main() -> None:
    global calls
    import httpx

    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://example") as client:
        answers = await asyncio.gather(*(client.get("/users/7") for _ in range(20)))
        alike = all(answer.json() == answers[0].json() for answer in answers)
        print(
            f"20 requests at the same time: {calls} call of the database, all answers {'alike' if alike else 'different'}"
        )
        print("again:", (await client.get("/users/7")).json())

        calls = 0
        await client.put("/users/7", params={"name": "Ada"})
        print("after a change:", (await client.get("/users/7")).json())

        calls = 0
        statuses = {(await client.get("/users/1000")).status_code for _ in range(2)}
        print(f"an unknown user: {statuses.pop()}, asked twice, looked for {calls} time")


if __name__ == "__main__":
    asyncio.run(main())
