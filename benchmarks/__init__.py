"""How fast minitrain trains, beside others that do the same work. See README.md."""
