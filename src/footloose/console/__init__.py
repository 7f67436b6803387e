"""The operators' web page: what a site sees, does and why, live. Files and their serving only; no decisions."""
