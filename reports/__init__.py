"""The report of a run, from its records alone: Markdown, one HTML file, and PDF."""
