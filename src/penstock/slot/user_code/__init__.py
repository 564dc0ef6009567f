"""How a batch goes through the user's functions: row by row, as a batch, as coroutines."""
