from __future__ import annotations

import pytest
from blockbuster import BlockBuster


@pytest.fixture(autouse=True)
def connecting_may_block(blockbuster: BlockBuster) -> None:
    """asyncpg looks for certificates in the home directory each time it connects."""
    for function in blockbuster.functions.values():
        function.can_block_in("asyncpg/connect_utils.py", "_parse_connect_dsn_and_args")
