"""The command line: `main` finds the sub-command, every other file is one command or one thing they share."""
