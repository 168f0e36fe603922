"""The command line: train, sweep, compare, generate, verify. Bad input is one line and status 2."""
