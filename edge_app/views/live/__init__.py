"""What is heard now: the live page, and what other thresholds would have made of it."""
