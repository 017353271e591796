"""Speed, side by side: what is measured, on whom, how, and what it adds up to."""
