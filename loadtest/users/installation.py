"""Where the installation is that the users go to."""

from __future__ import annotations

import os
from pathlib import Path

from engine.app.cli import ADDRESSES, fill_environment
from engine.core.settings import Settings

fill_environment(Path(os.environ.get("ONSALE_ENV_FILE") or ADDRESSES))
SETTINGS = Settings.from_environment()
