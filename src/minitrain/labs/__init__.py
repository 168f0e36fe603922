"""What a reader works with: a lab and its check, its panel in JupyterLab, the checked exercises."""
