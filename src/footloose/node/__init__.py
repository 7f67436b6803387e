"""One site wired together: start, stop and recover. No algorithms."""
