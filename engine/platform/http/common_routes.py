"""What several routes have in common."""

from __future__ import annotations

from engine.platform.http.route import Answer

TAG = {"ETag": "The version; send it as If-None-Match."}
IF_NONE_MATCH = {"If-None-Match": "The ETag of the answer that the client has."}
UNCHANGED = Answer(description="The client has this version.", headers=TAG)
