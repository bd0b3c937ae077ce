"""What is remembered of the server: listings and parts of files."""
