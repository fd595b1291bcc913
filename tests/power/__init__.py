"""Power loss by replay: what was recorded, cut at every sync point."""
