"""The expression languages: condition, filter, key condition, update and projection; and the legacy parameters as the same trees.

`tokens` cuts text, `conditions`, `updates` and `projections` parse it into trees of `ast`, `request` takes all expressions of one
request with their names and values, checks them in AWS's order and words, and remembers what it parsed. `legacy` makes the same trees
from the parameters that came before expressions. Nothing here knows of tables or storage.
(Developer Guide: "Using expressions in DynamoDB"; API Reference: "Legacy conditional parameters".)
"""
