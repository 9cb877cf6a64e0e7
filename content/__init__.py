"""What is said and shown: the plan and its checks, messages, phrases, FAQ and pictures.

This room reads files and makes plain data of them. It knows no channel, no database and no clock.
"""
