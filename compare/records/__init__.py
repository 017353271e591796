"""What a run leaves behind: run.json, its tables and arrays, written and read again."""
