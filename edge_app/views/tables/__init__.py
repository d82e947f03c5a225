"""Tables of events, and their export."""
