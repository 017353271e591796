"""The report of a run, made from its records alone: Markdown, one HTML file, and PDF."""
