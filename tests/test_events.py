"""Server-sent events out of bytes, however they are torn: what is an event's data, and when it was complete."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.canary.events import Stamped, events

ENDS = [b"\n", b"\r\n", b"\r"]
A_THEN_B = b"data: a\n\ndata: b\n\n"


def reads(*data: bytes) -> tuple[Stamped, ...]:
    """Let reads arrive, the first at 0.0 s, the next at 1.0 s."""
    return tuple((float(index), one) for index, one in enumerate(data))


def torn(stream: bytes, cuts: list[int]) -> tuple[Stamped, ...]:
    """Tear a stream at positions; two equal ones make an empty read."""
    bounds = [0, *sorted(cuts), len(stream)]
    return reads(*(stream[start:end] for start, end in itertools.pairwise(bounds)))


def arrival(body: tuple[Stamped, ...], offset: int) -> float:
    """Tell when the byte at an offset arrived."""
    end = 0
    for at, data in body:
        end += len(data)
        if offset < end:
            return at
    raise AssertionError("the offset is beyond the stream")


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        pytest.param(b"data: a\n\n", [b"a"], id="an event"),
        pytest.param(A_THEN_B, [b"a", b"b"], id="two"),
        pytest.param(b"data:a\n\n", [b"a"], id="no space after the colon"),
        pytest.param(b"data:  a\n\n", [b" a"], id="only the first space is none of the data's"),
        pytest.param(b"data: a\ndata: b\n\n", [b"a\nb"], id="several lines of data"),
        pytest.param(b"data:\ndata: a\n\n", [b"\na"], id="an empty line of data"),
        pytest.param(b"data:\n\ndata: a\n\n", [b"a"], id="an event with empty data says nothing"),
        pytest.param(b": alive\n\ndata: a\n\n", [b"a"], id="comment between events"),
        pytest.param(b"data: a\n:\ndata: b\n\n", [b"a\nb"], id="comment inside an event"),
        pytest.param(b"event: x\nid: 7\nretry: 5\ndata: a\n\n", [b"a"], id="other fields before"),
        pytest.param(b"data: a\nid: 7\n\nevent: x\n\n", [b"a"], id="other fields after, and alone"),
        pytest.param(b"database: a\n data: b\ndata\n\n", [], id="names that only look alike"),
        pytest.param(b"\n\n\ndata: a\n\n\n\n", [b"a"], id="blank lines"),
        pytest.param(b"data: a\r\n\r\ndata: b\r\n\r\n", [b"a", b"b"], id="CRLF"),
        pytest.param(b"data: a\r\rdata: b\r\r", [b"a", b"b"], id="CR"),
        pytest.param(b"data: a\r\n\ndata: b\n\r\n", [b"a", b"b"], id="line ends mixed"),
        pytest.param(b"data: a\n", [b"a"], id="ends before the blank line"),
        pytest.param(b"data: [DONE]", [b"[DONE]"], id="ends before the line's end"),
        pytest.param(b"data: \xff\xfe\n\n", [b"\xff\xfe"], id="bytes that are no UTF-8"),
        pytest.param(b"", [], id="nothing"),
    ],
)
def test_data_of_events(stream: bytes, expected: list[bytes]) -> None:
    """Data is what stands behind `data:`; the same in one read, byte by byte, and cut in two anywhere."""
    cut_in_two = [[data for _, data in events(torn(stream, [cut]))] for cut in range(len(stream) + 1)]

    assert expected == [data for _, data in events(reads(stream))]
    assert expected == [data for _, data in events(torn(stream, list(range(1, len(stream)))))]
    assert [expected] * len(cut_in_two) == cut_in_two


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        pytest.param((A_THEN_B,), [(0.0, b"a"), (0.0, b"b")], id="one read, one time"),
        pytest.param((b"da", b"ta: a", b"\n\n"), [(2.0, b"a")], id="the read that ends the line"),
        pytest.param((b"data: a\n", b"\n", b"data: b\n"), [(0.0, b"a"), (2.0, b"b")], id="not the blank line's"),
        pytest.param((b"data: a\n", b"data: b\n", b"\n"), [(1.0, b"a\nb")], id="the last line of data counts"),
        pytest.param((b"data: a\r", b"\n\r", b"\n"), [(0.0, b"a")], id="half a CRLF ends the line"),
        pytest.param((b"data: a\r", b"", b"\ndata: b\r", b"\n"), [(2.0, b"a\nb")], id="an empty read in a CRLF"),
        pytest.param((b"data: a", b""), [(0.0, b"a")], id="an empty read at the end"),
    ],
)
def test_time_of_events(body: tuple[bytes, ...], expected: list[Stamped]) -> None:
    """An event's time is that of the read that completed its last line of data."""
    assert expected == list(events(reads(*body)))


@given(
    st.lists(st.lists(st.binary().map(lambda data: data.translate(None, b"\r\n")), min_size=1)),
    st.sampled_from(ENDS),
    st.data(),
)
def test_any_tearing(values: list[list[bytes]], end: bytes, draw: st.DataObject) -> None:
    """However a stream is torn, each event comes once, whole, and with the read that completed its data."""
    stream, sent = b"", []
    for lines in values:
        stream += b": alive" + end + end + end.join(b"data: " + line for line in lines)
        sent.append((len(stream), b"\n".join(lines)))
        stream += end + end
    body = torn(stream, draw.draw(st.lists(st.integers(0, len(stream)))))

    assert [(arrival(body, at), data) for at, data in sent if data.strip(b"\n")] == list(events(body))
