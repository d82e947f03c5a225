"""What the user chooses, and the first look at what is there."""
