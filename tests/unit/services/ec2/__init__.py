"""EC2's network operations, called as the gateway calls them."""
