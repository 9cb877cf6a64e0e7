"""The pages, one file each, found by their names; see bot/console/__init__.py."""
