"""How a process gives up what it does not need, before it meets anyone it cannot trust."""
