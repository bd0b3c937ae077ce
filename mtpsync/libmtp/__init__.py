"""The C line: libmtp's structures and functions."""
