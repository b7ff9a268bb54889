"""Benchmarks on a real API server: `make bench`. They print what they do, and never assert a time."""
