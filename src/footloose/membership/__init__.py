"""Who is alive: every site watches a bounded few others, and hears of the rest as sums."""
