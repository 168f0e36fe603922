"""The training in C, from the folder `kernel/`: compiled for this machine or for a web page, and
driven from Python. Without a compiler nothing here works, and PyTorch trains instead."""
