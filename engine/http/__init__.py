"""The edge: HTTP, WebSocket, and what describes and watches them."""
