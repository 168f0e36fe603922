"""What the pages of the book show with: source code, tables, plots, the dashboard, and the small
models beside the GPT that single chapters need."""
