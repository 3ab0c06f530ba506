"""The addresses of the internet, which is one network outside every VPC (TEST-NET-1 of RFC 5737)."""

INTERNET = "internet"
"""Its name among the networks of the fabric."""

INTERNET_NETWORK = "192.0.2.0/24"
INTERNET_ROUTER = "192.0.2.1"
INTERNET_RESOLVER = "192.0.2.53"

INTERNET_HOSTS_FIRST = "192.0.2.64"
"""The first address for hosts that are in no VPC."""

INTERNET_HOSTS = 191
"""The number of these addresses."""
