"""The expression languages: condition, filter, key condition, update and projection; and the legacy parameters.

`tokens` splits the text, `conditions`, `updates` and `projections` parse it into trees of `ast`. `request` checks all expressions of a
request with their names and values, in AWS's order and with its messages, and caches the trees. `legacy` makes the same trees from the
parameters that are older than expressions. Nothing here depends on tables or storage.
(Developer Guide: "Using expressions in DynamoDB"; API Reference: "Legacy conditional parameters".)
"""
