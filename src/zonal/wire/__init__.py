"""AWS on the wire: which operation a request means, its parameters, its answer, its signature.

Everything is driven at run time by botocore's service models; nothing here is written by hand for one operation, and nothing does
IO. Imports only `foundation`.
"""
