"""One table of losses, one list of contracts."""
