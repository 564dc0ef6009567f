"""`lookup`: rows with what another place says of their key."""
