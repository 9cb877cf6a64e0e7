"""What is remembered: people, the ledger, the inbox, deliveries, events and revisions.

The only room that knows SQL. It speaks plain data and imports no other room.
"""
