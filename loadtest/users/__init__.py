"""Users for locust; loadtest/locustfile.py has them all."""
