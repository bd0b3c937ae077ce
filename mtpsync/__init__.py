"""Put a local folder on a phone, watch or player over MTP, and prove that it arrived."""
