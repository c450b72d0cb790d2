"""Stored bytes that were damaged on the way, or made by somebody else, are no answer, or one that can be sent."""

from __future__ import annotations

import itertools
from typing import Any

from catzilla_cache.http.stored import encode_response
from catzilla_cache.smart_cache import SmartCache
from http_scopes import check_answer, each_finder, put, response_of, scope_of
from smart_caches import cache_in_memory

__all__ = ["cache_in_memory", "each_finder"]


def test_damaged_bytes_are_no_answer_or_one_that_can_be_sent(cache: SmartCache, finder: Any) -> None:
    scope = scope_of()
    whole = encode_response(response_of(tags=(b"one", b"two"), vary=(b"accept",)))
    for length in range(len(whole)):
        put(cache, scope, whole[:length])
        for _ in range(2):
            answer = finder.find(scope)
            if answer is not None:
                check_answer(answer)
    for at in range(len(whole)):
        for flip in (1, 2, 4, 8, 16, 32, 64, 128, 255):
            put(cache, scope, whole[:at] + bytes([whole[at] ^ flip]) + whole[at + 1 :])
            for _ in range(3):
                answer = finder.find(scope)
                if answer is not None:
                    check_answer(answer)


def test_lengths_that_do_not_add_up_are_no_answer(cache: SmartCache, finder: Any) -> None:
    scope = scope_of()
    whole = encode_response(response_of())
    fields_len, lines = int.from_bytes(whole[60:64], "little"), int.from_bytes(whole[56:60], "little")
    numbers = [
        0,
        1,
        lines - 1,
        lines + 1,
        fields_len - 1,
        fields_len + 1,
        len(whole),
        2**16,
        2**31 - 1,
        2**31,
        2**32 - 1,
        2**32 - 72,
    ]
    for at, number in itertools.product((56, 60, 74, 72 + 6 + 12 + 16 + 2), numbers):
        put(cache, scope, whole[:at] + number.to_bytes(4, "little") + whole[at + 4 :])
        assert finder.find(scope) is None or number == int.from_bytes(whole[at : at + 4], "little"), (at, number)
    # The length of the texts alone moves the body.
    for number in (2**31, 2**32 - 1, 2**32 - 72 - fields_len, len(whole)):
        put(cache, scope, whole[:64] + number.to_bytes(4, "little") + whole[68:])
        assert finder.find(scope) is None
    for end in range(72, 72 + fields_len):
        put(cache, scope, whole[:end])
        assert finder.find(scope) is None


def test_times_beyond_all_bounds_are_no_fault(cache: SmartCache, finder: Any) -> None:
    scope = scope_of()
    whole = encode_response(response_of())
    for at, number in itertools.product((16, 24, 32), (0, 1, -1, 2**62, -(2**62), 2**63 - 1, -(2**63), -(2**63) + 1)):
        put(cache, scope, whole[:at] + number.to_bytes(8, "little", signed=True) + whole[at + 8 :])
        for _ in range(2):
            answer = finder.find(scope)
            if answer is not None:
                check_answer(answer)
