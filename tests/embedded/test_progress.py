"""What a run says of itself where there is no terminal."""

import io

from rich.console import Console

from embedded.monitor import Reading, Standing
from embedded.progress import PLAIN_EVERY_S, Plain


def test_a_line_is_printed_when_there_is_something_new_and_not_too_often() -> None:
    written = io.StringIO()
    now_s = 0.0
    plain = Plain(Console(file=written, width=200), now=lambda: now_s)
    idle = Reading(worker=Standing(0, 0), sink=Standing(0, 0), refused=0, sink_rows=0)
    stored = Reading(worker=Standing(0, 0), sink=Standing(0, 0), refused=0, sink_rows=7)
    readings = (
        (0.0, idle),
        (0.1, stored),
        (9.0, idle),
        (9.0 + PLAIN_EVERY_S, stored),
        (99.0, stored),
    )
    for now_s, reading in readings:  # noqa: B007 - the clock reads it.
        plain.tick(reading)
    lines = written.getvalue().splitlines()
    assert [line.rsplit(maxsplit=1)[1] for line in lines] == ["0", "7"]
