"""The API endpoint: HTTP/1.1 in, AWS's wire out.

`connection` reads requests off a socket and writes answers back in order; `api` is what happens in between, in one visible function:
recognise the dialect, authenticate, locate the operation, take the body, parse, invoke the handler inside one store transaction, render.
Bodies that do not come with their head are a `body_stream`; `body_limits` says how large they may be, `body_budget` how much memory they
take together. Imports `wire`, `records`, `services.operation` and `foundation`; which services there are, it is told.
"""
