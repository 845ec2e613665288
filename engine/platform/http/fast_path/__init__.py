"""Answers requests that come in crowds at the connection, past the request pipeline of aiohttp."""
