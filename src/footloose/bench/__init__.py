"""Benchmarks, each beside what others published or what physics allows."""
