"""The neutral file system: where cache and spool meet."""
