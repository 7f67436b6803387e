"""How a service moves: one switch per copy, from asking a site to the end of the lease."""
