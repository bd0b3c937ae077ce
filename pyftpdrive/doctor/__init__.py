"""The guided check of a server: what it is, what it may, what it was seen to do."""
