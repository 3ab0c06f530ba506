"""Real engines behind AWS's API: where they come from (`engine_store`), what every one of them can do (`node`), and each engine.

An engine module knows how to lay out, start, observe, clone and promote its own program on a host; it decides nothing. Engines are
unaware of each other. Imports `fabric`, `records` and `foundation` only.
"""
