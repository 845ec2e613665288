"""The write-behind: from the streams to PostgreSQL."""
