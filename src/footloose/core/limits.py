"""Every limit, named once. ``docs/reference/limits.md`` is made from this page.

Sizes are in bytes, times in seconds unless the name says otherwise.
"""

# Messages between sites
MESSAGE_BYTES = 256 * 1024
"""Largest JSON message a site accepts."""
DATAGRAM_BYTES = 1200
"""Largest datagram sent or accepted: fits one packet on any IPv6 path with room for tunnels."""
CLOCK_SKEW_S = 60.0
"""How far another site's clock may be from ours before its signed requests and records are refused."""
SITE_REQUEST_TIMEOUT_S = 5.0
"""How long one request to another site may take, artifacts aside."""

# Artifacts
ARTIFACT_BYTES = 64 * 1024 * 1024
"""Largest artifact a site stores for others."""
ARTIFACT_STORE_BYTES = 2 * 1024 * 1024 * 1024
"""All artifacts a site keeps together, before it refuses new ones."""

# Users and their requests
REQUEST_HEAD_BYTES = 32 * 1024
"""Request line and headers together."""
REQUEST_BODY_BYTES = 1024 * 1024
"""Body of one user request."""
WEBSOCKET_MESSAGE_BYTES = 64 * 1024
"""One WebSocket message."""
CONNECTIONS_PER_WORKER = 10_000
"""Open user connections per worker."""
REQUEST_HEAD_TIMEOUT_S = 10.0
"""How long a user may take to send a request's head and body."""
IDLE_CONNECTION_S = 75.0
"""How long a quiet keep-alive connection stays open."""
REDIRECT_LIFETIME_S = 10.0
"""Longest time a user's browser may remember a redirect; the lease may shorten it."""
PREFIXES_PER_SERVICE = 10_000
"""User prefixes remembered per service; the least recently seen go first."""

# Guests
GUEST_MEMORY_BYTES = 16 * 1024 * 1024
"""Default memory of one instance."""
GUEST_TIME_MS = 100.0
"""Default time one request may run in a guest."""
GUEST_OUTPUT_BYTES = 1024 * 1024
"""Default output of one request."""
GUEST_LOG_BYTES = 8 * 1024
"""Log output kept of one request."""

# Routes
ROUTE_HOPS = 30
"""Longest route traced."""
TRACE_TIMEOUT_S = 1.5
"""Longest wait for a silent hop, as the ICON Python Orchestrator has it; usually cut short by the times of the hops that answered."""

# DHT
DHT_BUCKET = 20
"""k of Kademlia: contacts per bucket, and copies of a record."""
DHT_PARALLEL = 3
"""alpha of Kademlia: requests in flight per look-up."""
DHT_VALUES_PER_KEY = 32
"""Records kept per router id, nearest first."""
DHT_KEYS = 50_000
"""Router ids one node keeps records for."""
RECORD_LIFETIME_S = 600.0
"""How long a signed site record is good for."""

# Leases
LEASE_TERM_S = 60.0
"""Length of a lease; it is renewed at half of it."""
LEASE_GRACE_S = 3600.0
"""How long a copy goes on serving after its lease when it cannot reach who leased it (cut off is not dead)."""
LEASES_PER_SITE = 1_000
"""Leases one site accepts at a time."""
IDLE_BEFORE_RETIRE_S = 30.0
"""How long a copy may see no user before it is retired."""
DECISIONS_KEPT = 5_000
"""Recorded decisions a site keeps."""
POLL_INTERVAL_S = 1.0
"""How often a customer asks a copy for its meter reading."""
SILENT_AFTER_S = 3.0
"""How long a copy may leave polls unanswered before users are no longer sent to it."""
USER_MEMORY_S = 60.0
"""How long a user prefix that is not seen any more counts as demand."""
SETTLE_S = 0.4
"""How long the loop waits for measurements still out before it chooses without them."""
REDISCOVER_S = 30.0
"""How often sites are looked for again near users who are still there."""
REFUSAL_MEMORY_S = 60.0
"""How long a site that refused is not asked again."""

# App files
APP_FILE_BYTES = 64 * 1024
"""Largest app file read."""
APP_FILE_DEPTH = 32
"""Deepest nesting of an app file, aliases followed."""
APP_FILE_NODES = 10_000
"""Values in an app file, aliases expanded."""
APP_FILE_PROBLEMS = 100
"""Problems reported of one app file."""
APP_BYTES = 64 * 1024
"""Largest app as JSON: it travels, signed twice over, inside one message."""
SERVICES_PER_APP = 100
"""Services of one app."""
GUEST_MEMORY_CEILING_BYTES = 4 * 1024 * 1024 * 1024
"""Most memory an owner may ask for an instance: what 32-bit Wasm can address."""
GUEST_TIME_CEILING_MS = 60_000.0
"""Most time an owner may ask for one request."""
GUEST_OUTPUT_CEILING_BYTES = 64 * 1024 * 1024
"""Most output an owner may ask for one request."""

# Administration
ADMIN_ANSWER_BYTES = 64 * 1024 * 1024
"""Largest answer (or one event or line of a stream) the command line takes from its node."""
ADMIN_TIMEOUT_S = 30.0
"""How long the command line waits for its node to answer; streams wait without end once they began."""
