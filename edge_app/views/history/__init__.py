"""What was heard before: sessions, review, replay."""
