from zonal.dynamo.capacity import Minute
from zonal.dynamo.capacity_comparison import compare, prices, throttled


def traffic(*writes: float) -> list[Minute]:
    return [Minute(1000 + at, 0.0, units, 0, 0, 0) for at, units in enumerate(writes)]


def test_steady_traffic_is_cheaper_provisioned_and_rare_traffic_on_demand() -> None:
    steady = compare("t", traffic(*[42.0] * 60))
    assert steady.cheaper == "PROVISIONED" and steady.modes[0].write_units == 1
    rare = compare("t", traffic(1.0, *[0.0] * 600))
    assert rare.cheaper == "PAY_PER_REQUEST"


def test_a_month_on_demand_is_paid_by_the_unit() -> None:
    report = compare("t", traffic(*[1_000_000 / (730 * 60)] * 60))
    assert abs(report.modes[1].month - prices().write_request_units_million) < 1e-6


def test_a_burst_is_admitted_and_units_beyond_it_are_throttled() -> None:
    assert throttled([(0, 360.0)], 1) == 0
    assert throttled([(0, 361.0)], 1) == 1
    assert throttled([(0, 360.0), (1, 61.0)], 1) == 1
    assert throttled([(0, 360.0), (3, 180.0)], 1) == 0


def test_a_table_without_traffic_has_a_report_too() -> None:
    report = compare("t", [])
    assert (report.consumed_read, report.modes[0].read_units, report.modes[1].month) == (0, 1, 0)
