"""No-Vary-Search: which part of a query an answer depends on, as the answer says itself (IETF draft "No-Vary-Search").

    No-Vary-Search: key-order, params=("utm_source" "utm_medium")        the order does not matter, nor do these
    No-Vary-Search: params, except=("id")                                none matters but this one
"""

from __future__ import annotations

import re
from typing import Optional, Tuple
from urllib.parse import unquote_to_bytes

from catzilla_cache.http.message import FieldMap
from catzilla_cache.http.stored import SearchRule, StoredResponse

_MEMBER = re.compile(rb'\s*([a-z*][a-z0-9_.*-]*)\s*(?:=\s*(\?[01]|\((?:\s*"(?:[^"\\]|\\["\\])*")*\s*\)))?\s*(?:,|$)')
_STRING = re.compile(rb'"((?:[^"\\]|\\["\\])*)"')


def search_rule_of(response: StoredResponse) -> Optional[SearchRule]:
    """What a response says of its query; None when it says nothing that can be read, and so everything matters."""
    value = FieldMap(response.fields).combined(b"no-vary-search")
    if value is None:
        return None
    said, position = {}, 0
    while position < len(value):
        match = _MEMBER.match(value, position)
        if match is None:
            return None
        said[match[1]] = b"?1" if match[2] is None else match[2]
        position = match.end()
    ordered = said.get(b"key-order", b"?0") != b"?1"
    params, kept = said.get(b"params", b"?0"), said.get(b"except")
    if params == b"?1":
        if kept is not None and not kept.startswith(b"("):
            return None
        return SearchRule(ordered, None, _names(kept or b"()"))
    # What is excepted is excepted from something.
    if kept is not None:
        return None
    ignored = () if params == b"?0" else _names(params)
    return None if ordered and not ignored else SearchRule(ordered, ignored)


def _names(inner_list: bytes) -> Tuple[bytes, ...]:
    return tuple(re.sub(rb"\\(.)", rb"\1", name) for name in _STRING.findall(inner_list))


def reduced_query(rule: SearchRule, query: bytes) -> bytes:
    """What of a query matters."""
    kept = []
    for parameter in query.split(b"&"):
        name = unquote_to_bytes(parameter.split(b"=", 1)[0].replace(b"+", b" "))
        matters = name in rule.kept if rule.ignored is None else name not in rule.ignored
        if parameter and matters:
            kept.append(parameter)
    if not rule.ordered:
        kept.sort(key=lambda parameter: parameter.split(b"=", 1)[0])
    return b"&".join(kept)
