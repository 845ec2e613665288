"""WebSockets that only the server talks on, tens of thousands a process."""
