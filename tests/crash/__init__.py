"""SIGKILL at any moment loses nothing and shows nothing half."""
