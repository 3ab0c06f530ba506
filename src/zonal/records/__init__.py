"""The region's state: typed, versioned records and the journal in one SQLite file, and the lifecycles of records' states.

The path of a change: `with store.transaction() as tx` → `tx.put(record)`, `tx.note(event, …)` → one durable commit → watchers.
Only this package uses SQL. It imports `foundation` alone.
"""
