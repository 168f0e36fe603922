"""`python -m minitrain` is `minitrain`."""

from minitrain.cli import main

main()
