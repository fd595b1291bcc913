"""Benchmarks: transfers against public downloaders, and answers a second."""
