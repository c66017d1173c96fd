"""Provides the packages, Python and Node environments, and servers for `tests/run`."""
