"""Benchmarks: one runnable script for each figure in docs/performance.md, e.g. `.venv/bin/python -m benchmarks.cold_start`.

Each prints every run and the median, on a region of its own in a temporary directory, and removes the region. `--runs N` sets
the number of runs.
"""
