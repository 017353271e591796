"""Two models, or one model twice, compared from recorded traces. See docs/traces.md."""
