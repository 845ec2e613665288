"""Load: benchmarks, and locust users with checks; README.md has method and figures."""
