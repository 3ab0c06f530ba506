"""What the region remembers: typed, versioned records and the journal, in one SQLite file, and the lifecycles of their states.

A change goes: `with store.transaction() as tx` → `tx.put(record)`, `tx.note(event, …)` → one durable commit → watchers wake. Nothing
outside this package knows SQL. Imports only `foundation`.
"""
