"""The public pages: what anybody may see without an account."""
