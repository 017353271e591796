"""What is compared: architectures, initialisation, data sets, and experiments as TOML files."""
