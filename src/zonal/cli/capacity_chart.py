"""A chart of a table's recorded traffic: consumed units by minute, beside the provisioned units of the comparison.

pygal draws it; it comes with the optional extra `zonal[charts]`.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from zonal.foundation.errors import ZonalError

if TYPE_CHECKING:
    from zonal.dynamo.capacity_comparison import CapacityComparison


def draw(seen: CapacityComparison) -> bytes:
    """The chart as an SVG document without external references. Raises `ZonalError` when pygal is not installed."""
    try:
        import pygal
    except ImportError as error:
        raise ZonalError("--picture needs pygal, which is not installed; install it with `pip install 'zonal[charts]'`") from error
    costs = ", ".join(f"{mode.name} {mode.month:,.2f} {seen.currency} a month" for mode in seen.modes)
    chart = pygal.Line(
        js=[], title=f"{seen.table}: {costs}", x_title="time (UTC)", y_title="units a second", show_dots=False, x_label_rotation=45
    )
    first = seen.traffic[0].minute if seen.traffic else 0
    by_minute = {each.minute: each for each in seen.traffic}
    span = [by_minute.get(first + at) for at in range(seen.minutes)] if seen.traffic else []
    chart.x_labels = [datetime.fromtimestamp((first + at) * 60, UTC).strftime("%H:%M") for at in range(len(span))]
    chart.x_labels_major_count, chart.show_minor_x_labels = 12, False
    chart.add("read, consumed", [minute.read / 60 if minute else 0 for minute in span])
    chart.add("write, consumed", [minute.write / 60 if minute else 0 for minute in span])
    provisioned = seen.modes[0]
    chart.add("read, provisioned", [provisioned.read_units] * len(span))
    chart.add("write, provisioned", [provisioned.write_units] * len(span))
    if seen.throttled_requests:
        chart.add("requests throttled in the minute", [minute.throttled if minute else 0 for minute in span], secondary=True)
    return chart.render()  # type: ignore[no-any-return]
