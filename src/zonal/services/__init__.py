"""AWS's services, one noun a file: its record, its lifecycle, its operations and its convergence.

A noun's operations are methods marked `@operation("CreateVpc")` (see `operation.py`); they check, decide, write records and answer,
all inside one store transaction, and never wait. What must then happen in the world is done by the noun's reconciler. RDS and
the other managed services stand on `ec2`; they know nothing of each other. What is the same in several of them (pages, filters, tags,
refused parameters, subnet groups, events, maintenance windows) is in `common`, once.
"""
