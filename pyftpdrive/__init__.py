"""Mount an FTP server as a drive, for every program."""
