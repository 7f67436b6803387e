"""How sites speak to each other: HTTPS pinned to node ids, requests signed by their callers."""
