"""What `tests/run` needs around the Rust tests: packages, Python environments, and the servers that it starts."""
