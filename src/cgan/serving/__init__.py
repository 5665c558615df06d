"""The page and the HTTP API: two frontends of one service."""
