"""The waiting room: the queue before a sale, its draw, and how it is let in."""
