"""The operator is killed at every write that it makes, on a real API server: see README.md in this folder."""
