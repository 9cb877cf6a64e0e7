"""Measurements of the service against its goals and its peers, each a real server process on this machine.

`python -m benchmarks [names]` runs them and prints medians and ratios; docs/benchmarks.md says what and how. Nothing
here is loaded by the service.
"""
