"""What the operating system mounts."""
