"""The commands, each in a file of its own that is imported when the command is called."""
