"""The waiting room: the line before a sale, its draw, and how it is let in."""
