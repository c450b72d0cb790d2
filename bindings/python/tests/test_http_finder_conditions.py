"""Conditional requests on the shortest way: what a client has already is not sent again, and what is odd about a condition is left alone."""

from __future__ import annotations

import asyncio
import time
from typing import Any, Dict, List, Optional, Tuple

from catzilla_cache._backend import backend
from catzilla_cache.cache_middleware import CacheMiddleware
from catzilla_cache.http import stored
from catzilla_cache.http.stored import encode_response
from catzilla_cache.smart_cache import SmartCache
from http_scopes import FIELDS, HOUR, KINDS, check_answer, each_finder, fields_of, put, response_of, scope_of, store
from smart_caches import cache_in_memory

__all__ = ["cache_in_memory", "each_finder"]

DATE = b"Sun, 06 Nov 1994 08:49:37 GMT"


def asked(*lines: Tuple[bytes, bytes], **more: Any) -> Dict[str, Any]:
    return scope_of(headers=[lines[0], (b"host", b"example.org"), *lines[1:]], **more)


def status_of(finder: Any, *values: bytes, name: bytes = b"if-none-match") -> Optional[int]:
    """The status of the answer to these lines of a condition."""
    answer = finder.find(asked(*((name, value) for value in values)))
    return None if answer is None else int(answer[0]["status"])


def test_what_the_client_has_is_not_sent_again(cache: SmartCache, finder: Any) -> None:
    fields = [(b"content-length", b"6"), *FIELDS, (b"accept-ranges", b"bytes"), (b"content-digest", b"x"), (b"content-location", b"/a")]
    store(cache, scope_of(), fields=fields)
    for turn in range(4):
        # In turns, so that what is kept ready for one is not taken for the other.
        answer = finder.find(asked((b"if-none-match", b'"a-tag"')))
        check_answer(answer)
        assert answer[0]["status"] == 304 and answer[1]["body"] == b""
        assert answer[0]["headers"][:-4] == [*FIELDS[1:], (b"content-location", b"/a")]
        answer = finder.find(scope_of())
        assert answer[0]["status"] == 200 and answer[0]["headers"][:-4] == fields and answer[1]["body"] == b"a body"
        assert finder.find(asked((b"if-none-match", b'"other"')))[1]["body"] == b"a body"
        assert finder.not_modified() == turn + 1 and finder.counts() == [3 * (turn + 1), 0, 0]
    assert finder.find(asked((b"if-none-match", b'"a-tag"'), method="HEAD"))[0]["status"] == 304
    finder.forget()
    assert finder.not_modified() == 0


def test_entity_tags_are_compared_weakly(cache: SmartCache, finder: Any) -> None:
    same = [b'"a-tag"', b'W/"a-tag"', b' \t"a-tag"\t ', b'"x", "a-tag"', b',,"x",,W/"a-tag",,', b'"x","a-tag","y"', b"*", b" *\t"]
    others = [b'"A-tag"', b'"a-ta"', b'"a-tagg"', b'""', b'W/""', b"", b" ", b",", b'"x", "y"', b'"a-tag\xff"', b'"!#~\x80\xff"', b'"W/"', b'"a,a-tag,b"']
    odd = [
        b"a-tag", b'"a-tag', b'a-tag"', b'w/"a-tag"', b'W"a-tag"', b"W/", b"W", b'W/ "a-tag"', b'"a-tag" "x"', b'"a-tag""x"', b'"x"; "a-tag"', b'"a tag"', b'"a\ttag"',
        b'"a\x7ftag"', b'"a\x00tag"', b'*, "a-tag"', b'"a-tag", *', b"**", b"* *", b'"a-tag"\n', b'\x0b"a-tag"', b'"',
    ]  # fmt: skip
    for tag in (b'"a-tag"', b'W/"a-tag"'):
        store(cache, scope_of(), entity_tag=tag)
        assert [status_of(finder, value) for value in same] == [304] * len(same)
        assert [status_of(finder, value) for value in others] == [200] * len(others)
        assert [status_of(finder, value) for value in odd] == [None] * len(odd)
    for tag, value, status in ((b"", b'""', 200), (b"", b"*", 304), (b"", b"", 200), (b'""', b'""', 304), (b"W/", b'""', 200), (b'"\xff"', b'"\xff"', 304)):
        store(cache, scope_of(), entity_tag=tag)
        assert status_of(finder, value) == status, (tag, value)


def test_lines_are_one_list(cache: SmartCache, finder: Any) -> None:
    store(cache, scope_of())
    assert status_of(finder, b'"x"', b'"y", "a-tag"') == 304 and status_of(finder, b'"x"', b"", b'"y"') == 200
    # Together these are a tag with a comma in it.
    assert status_of(finder, b'"a', b'-tag"') is None and status_of(finder, b'"a-tag"', b"x") is None
    assert status_of(finder, b"*", b"*") is None and status_of(finder, b"*", b'"a-tag"') is None and status_of(finder, b'"a-tag"', b"*") is None


def test_more_tags_than_there_is_room_for_are_left_alone(cache: SmartCache, finder: Any) -> None:
    store(cache, scope_of())
    room = 512 - len(b'"a-tag"') - len(b'""')
    for longer, status in ((0, 304), (1, None)):
        assert status_of(finder, b'"a-tag", "' + b"x" * (room + longer) + b'"') == status
        assert status_of(finder, b'W/"' + b"x" * (room + longer) + b'"', b'"a-tag"') == status
    assert status_of(finder, b", ".join([b'"x"'] * 170)) == 200 and status_of(finder, b", ".join([b'"x"'] * 171)) is None


def test_only_success_is_not_modified(cache: SmartCache, finder: Any) -> None:
    for status, expected in ((199, 199), (200, 304), (299, 304), (300, 300), (404, 404), (500, 500)):
        store(cache, scope_of(), status=status, fields=[(b"last-modified", DATE)])
        assert status_of(finder, b'"a-tag"') == expected and status_of(finder, DATE, name=b"if-modified-since") == expected
        assert finder.find(asked((b"if-none-match", b"*")))[1]["body"] == (b"" if expected == 304 else b"a body")


def test_where_there_are_tags_dates_say_nothing(cache: SmartCache, finder: Any) -> None:
    store(cache, scope_of(), fields=[(b"last-modified", DATE)])
    for tag, status in ((b'"a-tag"', 304), (b'"x"', 200), (b"", 200), (b"x", None)):
        for date in (DATE, b"x"):
            lines = [(b"if-none-match", tag), (b"if-modified-since", date)]
            for order in (lines, lines[::-1], [*lines, lines[1]]):
                answer = finder.find(asked(*order))
                assert (answer and answer[0]["status"]) == status


def test_the_date_that_was_sent_is_known_again_and_others_are_left_alone(cache: SmartCache, finder: Any) -> None:
    store(cache, scope_of(), fields=[(b"last-modified", DATE)])
    assert status_of(finder, DATE, name=b"if-modified-since") == 304 and finder.not_modified() == 1
    for date in (DATE.replace(b"37", b"38"), DATE + b" ", b"", b"Sunday, 06-Nov-94 08:49:37 GMT", b"Sun Nov  6 08:49:37 1994"):
        assert status_of(finder, date, name=b"if-modified-since") is None
    assert status_of(finder, DATE, DATE, name=b"if-modified-since") is None
    # The same text, but no date.
    flaws = [
        b"Sun, 00 Nov 1994 08:49:37 GMT", b"Sun, 31 Nov 1994 08:49:37 GMT", b"Sun, 32 Dec 1994 08:49:37 GMT", b"Sun, 06 Nov 1994 24:49:37 GMT", b"Sun, 06 Nov 1994 08:60:37 GMT",
        b"Sun, 06 Nov 1994 08:49:61 GMT", b"Son, 06 Nov 1994 08:49:37 GMT", b"Sun, 06 Nov 1994 08:49:37 CET", b"Sun, 06 Nov 1994 08.49.37 GMT", b"Sun, 06 nov 1994 08:49:37 GMT",
        b"Sun, +6 Nov 1994 08:49:37 GMT", b"Sun, 06 Nov 199x 08:49:37 GMT", b"Sun, 06 ovD 1994 08:49:37 GMT",
    ]  # fmt: skip
    for date in flaws:
        store(cache, scope_of(), fields=[(b"last-modified", date)])
        assert status_of(finder, date, name=b"if-modified-since") is None, date
    for fields in ([], [(b"last-modified", DATE)] * 2, [(b"last-modified", b" " + DATE)], [(b"date", DATE)], [(b"last-modified", DATE), (b"last-modified", b"x")]):
        store(cache, scope_of(), fields=fields)
        assert status_of(finder, DATE, name=b"if-modified-since") is None
    for date in (b"Fri, 28 Feb 1997 23:59:60 GMT", b"Tue, 31 Dec 9999 00:00:00 GMT"):
        store(cache, scope_of(), fields=[(b"last-modified", date)])
        assert status_of(finder, date, name=b"if-modified-since") == 304


def test_what_is_not_served_is_not_confirmed(cache: SmartCache, finder: Any) -> None:
    now = time.time()
    odd: List[Dict[str, Any]] = [{"fresh_until": now - 1}, {"flags": stored.NO_CACHE}, {"flags": stored.HEAD_ONLY}, {"rule": 3}, {"stored_at": now + HOUR}]
    for parts in odd:
        store(cache, scope_of(), **parts)
        assert status_of(finder, b'"a-tag"') is None and status_of(finder, b"*") is None
    for more in ((b"cache-control", b"no-cache"), (b"range", b"bytes=0-1"), (b"if-match", b"*"), (b"if-unmodified-since", DATE)):
        store(cache, scope_of())
        assert finder.find(asked((b"if-none-match", b'"a-tag"'), more)) is None
    assert finder.not_modified() == 0


def test_a_condition_may_be_part_of_the_key(cache: SmartCache) -> None:
    key_fields = (b"if-modified-since", b"if-none-match")
    for kind in KINDS:
        finder = kind(cache, b"p:", key_fields, frozenset(), b"catzilla", 1)
        cache.clear()
        put_with_key = b'p:GET /items http://example.org 1=7:"a-tag"'
        assert backend.put(cache._live(), put_with_key, encode_response(response_of()), 0) == 0
        assert status_of(finder, b'"a-tag"') == 304 and status_of(finder, b'W/"a-tag"') is None and finder.find(scope_of()) is None


def test_texts_that_do_not_add_up_confirm_nothing(cache: SmartCache, finder: Any) -> None:
    whole = encode_response(response_of(body=b""))
    fields_len = int.from_bytes(whole[60:64], "little")
    begin, url = 72 + fields_len, len(b"http://example.org/items")
    for at, width in ((begin, 2), (begin + 2, 4), (begin + 6 + url, 2), (begin + 8 + url, 4)):
        right = int.from_bytes(whole[at : at + width], "little")
        for number in (0, right + 1, 2, 100, 2 ** (8 * width) - 1):
            if number != right:
                put(cache, scope_of(), whole[:at] + number.to_bytes(width, "little") + whole[at + width :])
                assert status_of(finder, b'"a-tag"') != 304, (at, number)
    for length in range(len(whole) - begin):
        # Cut short behind the fields, and said to be so.
        put(cache, scope_of(), whole[:64] + length.to_bytes(4, "little") + whole[68 : begin + length])
        answer = finder.find(asked((b"if-none-match", b'"a-tag"')))
        assert answer is None or length >= 6 + url + 6 + len(b'"a-tag"')


def test_the_middleware_counts_what_was_not_modified() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"etag", b'"a-tag"'), (b"cache-control", b"max-age=60")]})
        await send({"type": "http.response.body", "body": b"a body"})

    async def ask(middleware: CacheMiddleware, scope: Any) -> List[Any]:
        sent: List[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        await middleware(scope, None, send)  # type: ignore[arg-type]
        return sent

    with SmartCache() as cache:
        middleware = CacheMiddleware(app, cache_instance=cache)
        asyncio.run(ask(middleware, scope_of()))
        # The second takes the long way.
        for line in (b'"a-tag"', b'x, "a-tag"'):
            start, body = asyncio.run(ask(middleware, asked((b"if-none-match", line))))
            assert start["status"] == 304 and body["body"] == b"" and (b"etag", b'"a-tag"') in start["headers"]
        stats = middleware.get_stats()
        assert middleware._finder.not_modified() == 1 and stats["http_stats"]["not_modified"] == 2
        assert stats["middleware_stats"]["cache_hits"] == 2 and stats["middleware_stats"]["total_requests"] == 3
        assert fields_of((start, body))[b"x-cache"] == b"HIT"
        middleware.clear_cache()
        assert middleware.get_stats()["http_stats"]["not_modified"] == 0
