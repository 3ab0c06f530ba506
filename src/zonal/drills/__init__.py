"""Breaking things on purpose and telling the truth about it: faults, workload, verdict, scenario.

A scenario starts clients with a ledger, lets a fault strike, heals it, reads everything back, and a verdict is computed from the ledger
and the journal. Reaches the region only as an operator would: through its API and its operator's socket.
"""
