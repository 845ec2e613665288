"""Every metric of the write-behind, in one list."""

from __future__ import annotations

from typing import Final

from prometheus_client import Counter, Gauge, Histogram

# Records in the streams that PostgreSQL does not have yet. The edge refuses new holds at
# Settings.backlog_max.
BACKLOG: Final = Gauge("onsale_persist_backlog_records", "Records not yet in PostgreSQL.")

# How long the oldest of them has waited; 0 when there is none. Alert when it stays above a minute.
LAG: Final = Gauge("onsale_persist_lag_seconds", "Age of the oldest unwritten record.")

# Records that were written (again, when they were delivered twice) and acknowledged.
RECORDS: Final = Counter("onsale_persist_records_total", "Records written and acknowledged.")

# Transactions; records divided by batches is the size of a batch.
BATCHES: Final = Counter("onsale_persist_batches_total", "Transactions committed.")

# Batches that met what another consumer writes, mostly a seat that was sold again, and were
# written once more while nobody else wrote. Many, for long: fewer workers are faster.
ALONE: Final = Counter("onsale_persist_alone_total", "Batches written again, alone.")

# From the first statement to the end of COMMIT, for one transaction.
COMMIT_SECONDS: Final = Histogram(
    "onsale_persist_commit_seconds",
    "Duration of one transaction.",
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10),
)

# Records that were taken over from a consumer that died or hangs.
CLAIMED: Final = Counter("onsale_persist_claimed_total", "Records taken over from others.")

# Parked records that nobody has replayed, however old.
DEAD_LETTERS: Final = Gauge("onsale_persist_dead_letters", "Parked records waiting for a person.")

# 1 while PostgreSQL answers. Selling goes on when it does not; the backlog grows.
POSTGRES_UP: Final = Gauge("onsale_persist_postgres_up", "Whether PostgreSQL can be reached.")
