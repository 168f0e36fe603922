"""minitrain: a tiny GPT, trained so that every number is the same on every machine."""
