"""Tables of the catalogue: events, venues, and what occurrences sell."""
