"""The endpoint of AWS's API: converts HTTP/1.1 requests to calls of the `Invoker`, and results to responses.

`connection` reads requests from a socket and writes the responses in order. `api` answers one request: recognise the protocol,
authenticate, read the body, let the `services.invocation.Invoker` resolve, parse and run the operation, render. A body that does not arrive
with its head is a `body_stream`; `body_limits` has the maximum size per operation, `body_budget` the memory for all bodies together.
`response_writer` writes response bodies, files with `sendfile`. Imports `services.invocation`, `services.service`, `wire` and `foundation`.
"""
