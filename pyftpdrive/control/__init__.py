"""How commands talk to a running mount."""
