"""AWS's wire formats: finds a request's operation, verifies its signature, parses its parameters, and renders the response.

The path of a request: `dispatch` (service, protocol, operation) → `signing` → `requests` (parse) → `validation` → handler → `responses`.
botocore's service models drive all of it at run time. Nothing here does IO. Imports only `foundation`.
"""
