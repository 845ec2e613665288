"""The write-behind: from the streams to PostgreSQL, and the proof that both agree."""
