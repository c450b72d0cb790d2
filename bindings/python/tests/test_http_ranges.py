"""Parts of stored answers.

Shows RFC 9110 sections 14 (ranges), 13.1.5 (If-Range) and 15.5.17 (416), and RFC 9111 sections 3.3 and 3.4 (parts are not stored).
"""

from __future__ import annotations

import email.parser
import email.policy
from typing import List, Optional, Tuple

import pytest

from http_application import Answer, Asked, Reply, clock_of, lets_time_pass, reply, site

__all__ = ["clock_of"]

BODY = b"0123456789"
MODIFIED = "Mon, 01 Jun 2020 12:00:00 GMT"
AS_STORED = ["Cache-Control: max-age=600", 'ETag: "a"', f"Last-Modified: {MODIFIED}", "Content-Type: text/plain", "X-A: 1"]
STORED = reply(*AS_STORED, body=BODY)


@pytest.mark.parametrize(
    "value, first, last",
    [
        ("bytes=0-3", 0, 3),
        ("bytes=0-0", 0, 0),
        ("bytes=9-9", 9, 9),
        ("bytes=4-", 4, 9),
        ("bytes=0-", 0, 9),
        ("bytes=9-", 9, 9),
        ("bytes=-3", 7, 9),
        ("bytes=-1", 9, 9),
        ("bytes=-10", 0, 9),
        ("bytes=-100", 0, 9),
        ("bytes=5-100", 5, 9),
        ("bytes=0-9", 0, 9),
        ("bytes=00002-0004", 2, 4),
        ("bytes=2-99999999999999999999999999", 2, 9),
        ("bytes=-99999999999999999999999999", 0, 9),
        ("Bytes=0-3", 0, 3),
        ("bytes=0-3,", 0, 3),
        ("bytes= 0-3", 0, 3),
        ("bytes=0-3, 100-200", 0, 3),
    ],
)
def test_a_part_is_cut_from_what_is_stored(value: str, first: int, last: int) -> None:
    with site(STORED) as found:
        found.get()
        answer = found.get("/", f"Range: {value}")
        if answer.status == 200 and not value.startswith(("bytes=0-3,", "bytes= ")):
            pytest.fail("the whole was sent")
        if answer.status == 200:
            # A list with an empty or a vain member may as well be answered with the whole.
            assert answer.body == BODY
            return
        assert (answer.status, answer.is_hit, found.calls) == (206, True, 1)
        assert answer.body == BODY[first : last + 1]
        assert answer["content-range"] == f"bytes {first}-{last}/10"
        assert answer["content-length"] == str(last - first + 1)
        assert (answer["etag"], answer["content-type"], answer["x-a"]) == ('"a"', "text/plain", "1")
        assert answer["age"] is not None
        assert found.get().body == BODY


@pytest.mark.parametrize(
    "value", ["bytes=10-", "bytes=10-20", "bytes=100-", "bytes=-0", "bytes=10-, 20-30", "bytes=99999999999999999999999-"]
)
def test_a_part_that_is_not_there_is_told_with_the_length(value: str) -> None:
    with site(STORED) as found:
        found.get()
        answer = found.get("/", f"Range: {value}")
        assert (answer.status, answer["content-range"], found.calls) == (416, "bytes */10", 1)
        assert BODY not in answer.body
        again = found.get()
        assert (again.status, again.body, again.is_hit) == (200, BODY, True)


@pytest.mark.parametrize(
    "value",
    [
        "bytes=5-2",
        "bytes=",
        "bytes=-",
        "bytes=a-b",
        "bytes=--1",
        "bytes=1-2-3",
        "bytes 0-1",
        "0-1",
        "items=0-1",
        "bytes=+1-2",
        "bytes=1_0-20",
    ]
    + [
        "bytes=\xb2-\xb3",
        "bytes=0x0-0x1",
        "bytes=0 - 1",
        "bytes=1.0-2.0",
        "",
        "=",
        "bytes=0-1;2-3",
        "bytes=,",
        "bytes=0-1 2-3",
        "bytes=0",
    ],
)
def test_a_range_that_is_none_gets_the_whole(value: str) -> None:
    with site(STORED) as found:
        found.get()
        answer = found.get("/", f"Range: {value}")
        assert (answer.status, answer.body, answer.is_hit, answer["content-range"]) == (200, BODY, True, None)


def parts_of(answer: Answer) -> List[Tuple[Optional[str], bytes]]:
    head = f"Content-Type: {answer['content-type']}\r\n\r\n".encode("latin-1")
    message = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(head + answer.body)
    assert message.is_multipart() and not message.defects, message.defects
    found = []
    for part in message.iter_parts():  # type: ignore[attr-defined]
        assert part["content-type"] == "text/plain"
        payload = part.get_payload(decode=True)
        found.append((part["content-range"], payload))
    return found


@pytest.mark.parametrize(
    "value, parts",
    [
        ("bytes=0-1,4-5", [(0, 1), (4, 5)]),
        ("bytes=0-1, -2", [(0, 1), (8, 9)]),
        ("bytes=8-, 0-0", [(8, 9), (0, 0)]),
        ("bytes=0-1,100-,4-5", [(0, 1), (4, 5)]),
    ],
)
def test_several_parts_are_sent_as_such_or_the_whole(value: str, parts: List[Tuple[int, int]]) -> None:
    with site(STORED) as found:
        found.get()
        answer = found.get("/", f"Range: {value}")
        assert found.calls == 1 and answer.is_hit
        if answer.status == 200:
            assert answer.body == BODY
            return
        assert answer.status == 206 and answer["content-range"] is None
        assert (answer["content-type"] or "").startswith("multipart/byteranges; boundary=")
        got = parts_of(answer)
        wanted = [(f"bytes {first}-{last}/10", BODY[first : last + 1]) for first, last in parts]
        assert got == wanted or sorted(got) == sorted(wanted)


@pytest.mark.parametrize(
    "value",
    [
        "bytes=" + ",".join(["0-"] * 1000),
        "bytes=" + ",".join(f"{at}-{at}" for at in range(0, 10000, 2)),
        "bytes=0-1,1-2,0-1",
        "bytes=0-9,0-9",
        "bytes=" + "," * 5000,
    ],
    ids=["the whole a thousand times", "thousands of bytes", "overlapping", "the whole twice", "commas"],
)
def test_many_parts_never_make_more_of_an_answer_than_it_is(value: str) -> None:
    body = BODY * 1000
    with site(reply("Cache-Control: max-age=600", "Content-Type: text/plain", body=body)) as found:
        found.get()
        answer = found.get("/", f"Range: {value}")
        assert answer.status in (200, 206, 416)
        assert len(answer.body) <= len(body) + 1000
        if answer.status == 200:
            assert answer.body == body


def test_the_boundary_of_parts_is_not_in_them() -> None:
    body = b"--boundary\r\n" * 100
    with site(reply("Cache-Control: max-age=600", "Content-Type: text/plain", body=body)) as found:
        found.get()
        answer = found.get("/", "Range: bytes=0-99,200-299")
        if answer.status == 206:
            assert [part for _, part in parts_of(answer)] == [body[:100], body[200:300]]


@pytest.mark.parametrize(
    "condition, is_part",
    [
        ('"a"', True),
        ('"b"', False),
        ('W/"a"', False),
        ('"a", "b"', False),
        ("*", False),
        ("", False),
        (MODIFIED, True),
        ("Mon, 01 Jun 2020 12:00:01 GMT", False),
        ("Mon, 01 Jun 2020 11:59:59 GMT", False),
        ("Tue, 01 Jan 2099 00:00:00 GMT", False),
        ("yesterday", False),
    ],
)
def test_a_part_is_sent_only_of_the_answer_that_the_client_has(condition: str, is_part: bool) -> None:
    with site(STORED) as found:
        # A date of change is as good as a strong validator only when the answer was made well after it.
        found.application.at("/", reply(*AS_STORED, f"Date: {found.date()}", body=BODY))
        found.get()
        answer = found.get("/", "Range: bytes=0-3", f"If-Range: {condition}")
        assert (answer.status, answer.body) == ((206, BODY[:4]) if is_part else (200, BODY))
        # A part that is not there is not told of another answer either.
        answer = found.get("/", "Range: bytes=100-", f"If-Range: {condition}")
        assert answer.status == (416 if is_part else 200)
        assert found.calls == 1


def test_a_date_joins_no_parts_when_there_may_have_been_another_answer_in_its_second() -> None:
    # RFC 9110 section 8.8.2.2.
    with site() as found:
        now = found.date()
        found.application.at("/", reply("Cache-Control: max-age=600", f"Last-Modified: {now}", f"Date: {now}", body=BODY))
        found.get()
        assert found.get("/", "Range: bytes=0-3", f"If-Range: {now}").body == BODY


def test_a_weak_etag_does_not_join_parts() -> None:
    with site(reply("Cache-Control: max-age=600", 'ETag: W/"a"', body=BODY)) as found:
        found.get()
        for condition in ('W/"a"', '"a"'):
            assert found.get("/", "Range: bytes=0-3", f"If-Range: {condition}").body == BODY


def test_if_range_without_a_range_has_no_effect() -> None:
    with site(STORED) as found:
        found.get()
        for condition in ('"a"', '"b"', MODIFIED):
            answer = found.get("/", f"If-Range: {condition}")
            assert (answer.status, answer.body, answer.is_hit) == (200, BODY, True)


def test_a_head_has_no_parts() -> None:
    with site(STORED) as found:
        found.get()
        head = found.head("/", "Range: bytes=0-3")
        assert (head.status, head["content-length"], head["content-range"]) == (200, "10", None)


@pytest.mark.parametrize("status", [301, 404])
def test_only_a_success_has_parts(status: int) -> None:
    with site(reply("Cache-Control: max-age=600", body=BODY, status=status)) as found:
        found.get()
        for value in ("bytes=0-3", "bytes=100-"):
            answer = found.get("/", f"Range: {value}")
            assert (answer.status, answer.body, answer.is_hit) == (status, BODY, True)


def test_of_an_empty_answer_there_is_no_part() -> None:
    with site(reply("Cache-Control: max-age=600", body=b"")) as found:
        found.get()
        answer = found.get("/", "Range: bytes=0-")
        assert (answer.status, answer["content-range"]) in [(416, "bytes */0"), (200, None)]


def test_parts_of_an_encoded_answer_are_parts_of_its_encoding() -> None:
    encoded = bytes(range(256))
    with site(reply("Cache-Control: max-age=600", "Content-Encoding: gzip", body=encoded)) as found:
        found.get()
        answer = found.get("/", "Range: bytes=100-199")
        assert (answer.body, answer["content-encoding"]) == (encoded[100:200], "gzip")


def slicing(asked: Asked) -> Reply:
    """Does as an application that serves files."""
    if asked["range"] == "bytes=0-3":
        return reply("Cache-Control: max-age=600", 'ETag: "a"', "Content-Range: bytes 0-3/10", body=BODY[:4], status=206)
    if asked["if-none-match"] == '"a"' and asked["range"] is None:
        return reply("Cache-Control: max-age=600", 'ETag: "a"', status=304)
    return STORED


def test_a_range_that_meets_nothing_stored_reaches_the_application_and_its_part_is_not_stored() -> None:
    with site(slicing) as found:
        for _ in range(2):
            answer = found.get("/", "Range: bytes=0-3", 'If-Range: "a"')
            assert (answer.status, answer.body, answer.is_hit) == (206, BODY[:4], False)
            assert (found.last["range"], found.last["if-range"]) == ("bytes=0-3", '"a"')
        assert found.calls == 2
        assert found.get().body == BODY
        assert found.get().is_hit


def test_what_an_application_answers_to_a_range_with_the_whole_is_right_for_all() -> None:
    with site(reply("Cache-Control: max-age=600", body=BODY)) as found:
        assert found.get("/", "Range: bytes=0-3").body in (BODY, BODY[:4])
        assert found.get().body == BODY


@pytest.mark.parametrize("lines", [["Content-Range: bytes */10"], []])
def test_a_range_out_of_reach_is_not_stored(lines: List[str]) -> None:
    lost = reply("Cache-Control: max-age=600", *lines, status=416)
    with site(lost, STORED, cache_status_codes={200, 416}) as found:
        assert found.get("/", "Range: bytes=100-").status == 416
        assert (found.get().status, found.get().body) == (200, BODY)


def test_a_part_under_the_status_of_the_whole_is_not_stored() -> None:
    part = reply("Cache-Control: max-age=600", "Content-Range: bytes 0-3/10", body=BODY[:4])
    with site(part, STORED) as found:
        assert found.get("/", "Range: bytes=0-3").body == BODY[:4]
        assert found.get().body == BODY


def test_a_whole_answer_with_a_field_that_only_parts_have_is_stored_as_it_is() -> None:
    # RFC 9110, 14.4: Content-Range has no meaning with another status than 206 and 416.
    with site(reply("Cache-Control: max-age=600", "Content-Range: of no meaning", body=BODY)) as found:
        found.get()
        whole = found.get()
        assert (whole.is_hit, whole["content-range"], whole.body) == (True, "of no meaning", BODY)
        part = found.get("/", "Range: bytes=0-3")
        assert (part.status, part["content-range"], part.body) == (206, "bytes 0-3/10", BODY[:4])


@lets_time_pass
def test_a_part_of_what_is_stale_comes_after_validation() -> None:
    with site(slicing) as found:
        found.get()
        found.pass_time(700)
        answer = found.get("/", "Range: bytes=0-3", 'If-Range: "a"')
        assert (answer.status, answer.body, answer["content-range"]) == (206, BODY[:4], "bytes 0-3/10")
        # The whole was asked about.
        assert (found.calls, found.last["range"], found.last["if-range"], found.last["if-none-match"]) == (2, None, None, '"a"')
        whole = found.get()
        assert (whole.status, whole.body, whole["content-range"]) == (200, BODY, None)


@lets_time_pass
@pytest.mark.parametrize("etag", ['"a"', '"b"'])
def test_parts_of_different_answers_are_never_joined(etag: str) -> None:
    def answer(asked: Asked) -> Reply:
        if asked["range"]:
            return reply("Cache-Control: max-age=600", f"ETag: {etag}", "Content-Range: bytes 0-3/10", body=b"part", status=206)
        return STORED

    with site(answer) as found:
        found.get()
        found.pass_time(700)
        found.get("/", "Range: bytes=0-3")
        whole = found.get()
        assert (whole.status, whole.body, whole["etag"]) == (200, BODY, '"a"')
