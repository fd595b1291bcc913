"""The table of outcomes: what each thing that a server does comes to."""
