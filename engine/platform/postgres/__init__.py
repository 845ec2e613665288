"""PostgreSQL: the declarative base, sessions, migration, the outbox."""
