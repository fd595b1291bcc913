"""What the test programs share: the daemon, an origin, a WS-Man client."""
