"""Provides what `tests/run` needs besides the Rust tests: packages, Python and Node environments, and servers."""
