"""What several operations' implementations share."""
