"""A Kademlia that keeps signed announcements: which sites are near which routers.

Sources: Maymounkov and Mazières, "Kademlia" (2002); ICON Python Orchestrator §3.1.1 for what is kept.
"""
