"""The rules: one file per mechanic, each with plain functions on a `Turn`; the standing services and the `Desk`.

This room decides. It knows no channel, no HTTP and no SQL.
"""
