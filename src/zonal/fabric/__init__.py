"""The region's ground: the sandbox, zones that can fail, networks, hosts, the firewall, names.

`plan.py` holds the shapes in which the layers above say what they want; this package makes the kernel match them, idempotently.
One module alone (`linux`) touches the kernel. Knows nothing of AWS operations, records' nouns or engines.
"""
