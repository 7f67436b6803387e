"""Which sites are on the way to a user: the DHT, the DNS and a fixed list, asked side by side."""
