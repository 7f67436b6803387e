"""Terms: what a site agrees to run for others, for how long, and how that ends."""
