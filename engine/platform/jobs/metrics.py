"""The metrics of the runner."""

from __future__ import annotations

from typing import Final

from prometheus_client import Counter, Gauge

# Rounds that ended well. One that stands still while its failures grow needs a look.
ROUNDS: Final = Counter("onsale_service_rounds_total", "Rounds of a service.", ["service"])

# What the rounds did: records written, holds and orders ended.
WORK: Final = Counter("onsale_service_work_total", "Units of work done.", ["service"])

# Rounds that failed and are tried again after a pause.
FAILURES: Final = Counter("onsale_service_failures_total", "Failed rounds.", ["service"])

# Occurrences that are damaged or half there: everything is done for the others. Look at the log.
UNREADABLE: Final = Gauge(
    "onsale_occurrences_unreadable", "Published occurrences that cannot be read and are left out."
)

# 1 when a service has given up and waits for a person. Alert at once.
STOPPED: Final = Gauge("onsale_service_stopped", "Whether a service has stopped.", ["service"])
