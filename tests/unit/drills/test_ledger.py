from pathlib import Path

from zonal.drills.ledger import Attempt, Ledger, Outcome, read


def attempt(number: int, outcome: Outcome, **more: object) -> Attempt:
    return Attempt(client=1, number=number, begun=1.0, ended=2.0, outcome=outcome, **more)  # type: ignore[arg-type]


def test_the_last_line_about_a_row_is_the_truth(tmp_path: Path) -> None:
    with Ledger(tmp_path / "1") as ledger:
        ledger.write(attempt(1, Outcome.UNKNOWN, detail="in hand"))
        ledger.write(attempt(1, Outcome.ACKNOWLEDGED))
        ledger.write(attempt(2, Outcome.UNKNOWN, detail="in hand"))
    assert [(each.number, each.outcome) for each in read([tmp_path / "1"])] == [(1, Outcome.ACKNOWLEDGED), (2, Outcome.UNKNOWN)]


def test_a_line_that_a_kill_cut_short_leaves_the_row_open(tmp_path: Path) -> None:
    with Ledger(tmp_path / "1") as ledger:
        ledger.write(attempt(7, Outcome.UNKNOWN, detail="in hand"))
    with (tmp_path / "1").open("ab") as file:
        file.write(b'{"client":1,"number":7,"outcome":"ackn')
    assert [each.outcome for each in read([tmp_path / "1"])] == [Outcome.UNKNOWN]


def test_ledgers_of_several_clients_are_read_in_the_order_of_client_and_row(tmp_path: Path) -> None:
    for client in (2, 1):
        with Ledger(tmp_path / str(client)) as ledger:
            for number in (1, 2):
                ledger.write(Attempt(client, number, 0.0, 0.0, Outcome.ACKNOWLEDGED, server="10.0.0.1", timeline=3))
    assert [(each.client, each.number) for each in read([tmp_path / "2", tmp_path / "1"])] == [(1, 1), (1, 2), (2, 1), (2, 2)]


def test_a_client_that_starts_again_adds_to_its_ledger(tmp_path: Path) -> None:
    for number in (1, 2):
        with Ledger(tmp_path / "1") as ledger:
            ledger.write(attempt(number, Outcome.ACKNOWLEDGED))
    assert len(read([tmp_path / "1"])) == 2
