"""Small things without knowledge of devices."""
