"""Drills: inject a fault into a Multi-AZ database under load, and judge what its clients saw.

`scenario` runs one drill: `workload` starts clients that write rows and keep ledgers (`client`, `ledger`), a fault of `faults` is injected
and healed, and all rows are read back. `verdict` computes the result from ledgers, rows and the journal; `report` prints it. A drill
reaches the region as an operator does: through AWS's API (`database`) and the operator API (`region_operator`).
"""
