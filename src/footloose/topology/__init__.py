"""The network between a site and its users: traced routes, the tree they make, and round trips."""
