"""The same training at the size of GPT-2 small: text to tokens, tokens to a trained model."""
