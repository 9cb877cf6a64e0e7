"""Local stand-ins for the platforms, at the network's edge: real HTTP servers with the real limits and errors.

For tests, demo, load test and training; `serve` never loads them.
"""
