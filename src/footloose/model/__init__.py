"""The words of the design as immutable types. See ``docs/explanation/architecture.md`` for what each means."""
