"""What a site remembers: its key, the apps deployed at it, leases, artifacts, and why it did what it did."""
