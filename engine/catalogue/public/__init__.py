"""The catalogue as buyers read it, from the snapshots that publication made."""
