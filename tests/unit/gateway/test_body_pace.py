"""The minimum rate of a document."""

from __future__ import annotations

from zonal.gateway.body_pace import MIN_BYTES_PER_SECOND, MOST_WINDOWS, BodyPace

WINDOW = 30.0
KIB = 1024


def refused_after(rate: float, burst: int = 0, step: float = 2.0) -> float | None:
    """The time after which a client that sends a burst and then `rate` bytes per second is refused; None within the whole time."""
    pace = BodyPace(1000.0, WINDOW)
    seconds = 0.0
    while seconds < MOST_WINDOWS * WINDOW - step:
        seconds += step
        if pace.is_too_slow(1000.0 + seconds, burst + int(seconds * rate)):
            return seconds
    return None


def test_a_client_that_sends_a_few_kilobytes_per_second_is_not_refused() -> None:
    for rate in (MIN_BYTES_PER_SECOND, 2 * KIB, 4 * KIB, 1024 * KIB):
        assert refused_after(rate) is None


def test_a_client_that_sends_a_byte_now_and_then_is_refused_within_two_windows_whatever_it_sent_before() -> None:
    assert refused_after(0.5) == WINDOW
    assert refused_after(0.5, burst=16 * 1024 * KIB) == 2 * WINDOW
    assert refused_after(MIN_BYTES_PER_SECOND / 2, step=WINDOW - 1) == 2 * (WINDOW - 1)


def test_a_document_that_does_not_end_is_refused() -> None:
    pace = BodyPace(0.0, WINDOW)
    for second in range(1, int(MOST_WINDOWS * WINDOW)):
        assert not pace.is_too_slow(float(second), second * 100 * KIB)
    assert pace.is_too_slow(MOST_WINDOWS * WINDOW, 1 << 40)
