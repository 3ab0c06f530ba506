"""Long tests, each bounded in time: `script/soak NAME --minutes N` prints the result as one JSON line.

`result` holds what a soak returns, `__main__` the command and the table of soaks; each other module is one soak. What a soak needs and the
machine lacks makes its outcome `unavailable`, which is never counted as passed. docs/performance.md quotes each soak's last result.
"""
