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
SITE_CONNECTIONS = 1_000
"""Connections of other sites one site keeps open at a time."""
PEER_CONNECTIONS = 256
"""Connections one site opens to others at a time."""
PEERS_PINNED = 4_096
"""Addresses of other sites whose open connections are found again; the least recently used go first."""
NONCES_KEPT = 50_000
"""Nonces of signed requests remembered against replay, of all callers together."""
NONCES_PER_CALLER = 5_000
"""The share of one caller in it."""
UPLOAD_STALL_S = 10.0
"""How long an upload may stand still before it is given up."""
QUESTIONS_AT_ONCE = 128
"""Sites asked at a time who they are or how far a user is: leaves connections for polls of copies."""
DISCOVERIES_AT_ONCE = 32
"""Routes near which sites are looked for at a time."""
PROBES_AT_ONCE = 32
"""Round trips a site measures for others at a time."""
PROBES_WAITING = 128
"""Further ones that wait their turn before others are turned away."""
PROBES_BURST = 200
"""Round trips one caller may have measured at once ..."""
PROBES_PER_S = 50.0
"""... and how many more per second after that."""
PROBE_CALLERS = 10_000
"""Callers whose probes are counted; the least recently heard go first."""
URL_CHARS = 300
"""Longest URL in a record or in terms."""
SITE_NAME_CHARS = 100
"""Longest name of a site, and of a region."""
SITE_RUNTIMES = 16
"""Runtimes one site names."""

# Artifacts
ARTIFACT_BYTES = 64 * 1024 * 1024
"""Largest artifact a site stores for others."""
ARTIFACT_STORE_BYTES = 2 * 1024 * 1024 * 1024
"""All artifacts a site keeps together, before it refuses new ones."""
DISK_RESERVE_BYTES = 32 * 1024 * 1024
"""Free disk an artifact may not use up, so that the site's own records can always be written."""
ARTIFACT_UNUSED_S = 300.0
"""How long an artifact nothing refers to is kept: its lease may still be on the way."""
ARTIFACTS_AWAITED = 1_000
"""Artifacts a site has asked its customers for and awaits; the longest awaited go first."""

# The record of what a site agreed to run
RECORD_FRAME_BYTES = 4 * 1024 * 1024
"""Largest entry of the record; a promise that makes a larger one is refused."""
RECORD_SMALL_BYTES = 256 * 1024
"""A record smaller than this is not written anew ..."""
RECORD_GROWTH = 4
"""... nor one that has not grown to so many times what it was when last written anew."""
LOSSES_NAMED = 20
"""Losses of one damaged record that are told one by one; further ones are counted."""

# Users and their requests
REQUEST_HEAD_BYTES = 32 * 1024
"""Request line and headers together."""
REQUEST_BODY_BYTES = 1024 * 1024
"""Body of one user request to a guest that gets it whole."""
STREAMED_BODY_BYTES = 1024 * 1024 * 1024
"""Body of one user request to a guest that reads it as it comes."""
WHOLE_BODY_BYTES = 64 * 1024
"""A body announced as larger than this is handed on as it comes, where the guest can read it so."""
STREAM_BODY_WAITING_BYTES = 256 * 1024
"""Body that waits for its guest to read it before no more is taken from the user."""
STREAM_OUTPUT_WAITING_BYTES = 64 * 1024
"""Output of one guest that waits for its user before the guest has to."""
STREAM_LINGER_S = 0.02
"""How long an answer is waited for as a whole before what there is of it is sent."""
STREAM_S = 3600.0
"""Longest a guest may go on with one request, waiting included."""
STREAMS_PER_WORKER = 64
"""Guests of one worker that wait, for their users or for the time, without standing in the way of others."""
STREAMS_PER_SERVICE = 32
"""How many of them may be of one service."""
GUEST_WAIT_S = 10.0
"""Longest a guest may wait, all in all, while it answers an event of a WebSocket."""
BODY_WINDOW_S = 10.0
"""How long the average is taken over ..."""
BODY_BYTES_PER_S = 1024
"""... that a user's body must come at, or it is cut."""
WEBSOCKET_MESSAGE_BYTES = 64 * 1024
"""One WebSocket message."""
CONNECTIONS_PER_WORKER = 10_000
"""Open user connections per worker."""
REQUEST_HEAD_TIMEOUT_S = 10.0
"""How long a user may take to send a request's head, and a body small enough to be waited for."""
CONNECTIONS_PER_ADDRESS = 1_000
"""Open connections of one user address (IPv6: of one /64) per worker; trusted proxies are exempt."""
FORWARDED_HOPS = 32
"""Proxies looked at in a forwarding header, from the right."""
TRUSTED_PROXIES = 256
"""Networks of trusted proxies."""
PROXY_HEADER_BYTES = 2048
"""Addresses and options in a header of the PROXY protocol."""
TLS_HANDSHAKE_S = 10.0
"""How long a user may take for the TLS handshake, or for the header of the PROXY protocol."""
CERTIFICATES = 100
"""Certificates of one gateway."""
CERTIFICATE_BYTES = 256 * 1024
"""Largest certificate chain or key file."""
TLS_NAMES = 100
"""Names taken of one certificate."""
CERTIFICATE_CHECK_S = 5.0
"""How often the node looks whether certificate files have changed."""
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
GUEST_MEMORY_MOST_BYTES = 256 * 1024 * 1024
"""Largest memory any instance can have, whatever its service asks for."""
GUEST_STACK_BYTES = 512 * 1024
"""Call stack of one instance, out of the calling thread's."""
WARM_INSTANCES = 64
"""Instances of warm services that rest in one worker, of all services together."""
WARM_CALLS = 10_000
"""Requests that one warm instance answers; then another takes its place."""
WARM_IDLE_S = 10.0
"""A warm instance that no request came to for so long is thrown away."""
GUEST_INSTANCES = 128 + WARM_INSTANCES
"""Instances alive at once in one worker: at most one per thread that is answering, and those that rest."""
EAGER_GUESTS = 256
"""A worker with no more services than this loads them all beforehand; with more, each when it is first asked for."""
LOADED_GUESTS = 1_000
"""Guests a worker keeps loaded; of more, those nobody asks for are put away until somebody does."""
COMPILE_TIME_S = 60.0
"""Longest one compilation of a module may take."""
COMPILE_MEMORY_BYTES = 2 * 1024 * 1024 * 1024
"""Memory the compiler process may have."""

# Routes
ROUTE_HOPS = 30
"""Longest route traced."""
TRACE_TIMEOUT_S = 1.5
"""Longest wait for a silent hop, as the ICON Python Orchestrator has it; the hops that answered mostly cut it short."""
TRACES_AT_ONCE = 32
"""Traces a site runs side by side; further ones wait their turn."""
TRACES_WAITING = 1_000
"""Targets waiting to be traced before new ones are turned away."""
PROBE_TIMEOUT_S = 1.0
"""Longest wait for a host whose round trip is measured."""
PROBE_TRIES = 10
"""Most probes in one measurement of a round trip."""
ANNOUNCED_ROUTERS = 32
"""Routers a site announces itself under; the nearest, as those far away will know nearer sites."""
ANNOUNCED_WITHIN_MS = 50.0
"""Farthest router a site announces itself under."""

# Discovery
FINDER_TIMEOUT_S = 4.0
"""How long one finder may work on one route."""
SIGHTINGS_PER_FINDER = 256
"""Sightings taken from one finder for one route."""
DNS_LOOKUPS_PER_ROUTE = 128
"""Questions put to the DNS for one route."""
DNS_PARALLEL = 16
"""DNS questions of one route in flight at a time."""
DNS_TIMEOUT_S = 1.5
"""How long one DNS question may take, all name servers together."""
DNS_NAMES_PER_HOP = 2
"""PTR names looked at per hop."""
DNS_ZONES_PER_NAME = 5
"""Zones asked for one router name; the longest names go first when there are more."""
DNS_SITES_PER_ZONE = 8
"""SRV targets taken of one zone, and addresses of one target, in order of preference."""
DNS_CACHED_ANSWERS = 10_000
"""DNS answers remembered; the least recently used go first."""
DNS_CACHE_S = 3600.0
"""Longest time a DNS answer is believed, whatever TTL it came with."""

# DHT
DHT_BUCKET = 20
"""k of Kademlia: contacts per bucket, and copies of a record."""
DHT_PARALLEL = 5
"""alpha of Kademlia: requests in flight per look-up."""
DHT_VALUES_PER_KEY = 32
"""Records kept per router id, nearest first."""
DHT_KEYS = 50_000
"""Router ids one node keeps records for."""
RECORD_LIFETIME_S = 600.0
"""How long a signed site record is good for."""
DHT_RECORDS = 100_000
"""Announcements one DHT node keeps in all; those farthest from its own id go first."""
DHT_RECORD_BYTES = 320
"""Largest signed announcement."""
DHT_STORE_BURST = 5_000
"""Announcements one source prefix may store at once ..."""
DHT_STORES_PER_S = 20.0
"""... and how many more per second after that."""
DHT_READ = 8
"""Of the nodes nearest a key, how many a look-up waits for."""
DHT_LOOKUP_S = 3.0
"""Longest look-up."""
DHT_LOOKUPS = 64
"""Look-ups a node runs at a time for its own site."""
DHT_BACKGROUND_LOOKUPS = 4
"""Look-ups a node runs at a time to announce, join and refresh."""
DHT_QUERIES_PER_LOOKUP = 100
"""Requests one look-up may send."""
DHT_REQUESTS = 4_096
"""Requests a DHT node may have unanswered."""
DHT_LOST_CONTACTS = 128
"""Contacts that fell silent and are still tried now and then, so that halves of the network find each other again."""
DHT_ANNOUNCED = 1_000
"""Router ids one node announces itself under; the least recently measured go first."""
DHT_BOOTSTRAP = 64
"""Bootstrap endpoints tried."""
DHT_REPLAYS = 20_000
"""Requests remembered so that a copy of one is not answered."""

# Membership
DATAGRAM_PEERS = 4_096
"""Senders of sealed datagrams whose keys and replay windows are kept; strangers make room for members."""
DATAGRAM_STRANGERS_PER_S = 500.0
"""New senders whose keys are computed per second; datagrams of further ones are dropped."""
MEMBERS_LIVE = 112
"""Members one site watches over: those nearest, those it deals with, and a random few of the rest."""
MEMBERS_NEAR = 48
"""How many of them are there for being nearest."""
MEMBERS_WATCHED = 32
"""How many of them may be there for being dealt with."""
MEMBERS_LOST = 256
"""Unreachable members that are still tried now and then; the longest unreachable go first."""
MEMBERS_GONE = 256
"""Members that left or were forgotten and are remembered, so that old news does not bring them back."""
MEMBERSHIP_SEEDS = 64
"""Seeds tried that were named."""
MEMBERSHIP_MET = 32
"""Sites met that are tried besides; the one met longest ago makes room."""
MEMBERS_NOMINATED = 10
"""Members nominated for one route: those that may be nearest to the user."""
MEMBERSHIP_NEWS = 1_024
"""Pieces of news waiting to be passed on; those passed on most often go first."""
MEMBERSHIP_PINGS = 256
"""Pings unanswered at a time, besides the probe; the oldest go first."""
MEMBERSHIP_RELAYS = 128
"""Pings under way at a time for other members; further requests are ignored."""
MEMBERSHIP_REGIONS = 64
"""Regions summed up; the longest unheard of go first, never the site's own."""
FACTS_NAME_BYTES = 32
"""Longest name of a region or failure domain, in UTF-8."""

# Leases
LEASE_TERM_S = 60.0
"""Length of a lease; it is renewed at half of it."""
LEASE_GRACE_S = 3600.0
"""How long a copy goes on serving after its lease when it cannot reach who leased it (cut off is not dead)."""
LEASES_PER_SITE = 1_000
"""Leases one site accepts at a time."""
READING_PREFIXES = 400
"""User prefixes in one meter reading, so that it fits one message."""
TERMS_TEXT_CHARS = 500
"""Longest reason, request id or token in terms between sites."""
IDLE_BEFORE_RETIRE_S = 30.0
"""How long a copy may see no user before it is retired."""
DECISIONS_KEPT = 5_000
"""Recorded decisions a site keeps."""
NOTES_WAITING = 1_000
"""Decisions and log entries that wait to be written together."""
NOTES_WAIT_S = 0.1
"""How long they wait."""
POLL_INTERVAL_S = 1.0
"""How often a customer asks a copy for its meter reading."""
SILENT_AFTER_S = 3.0
"""How long a copy may leave polls unanswered before users are no longer sent to it."""
USER_MEMORY_S = 20.0
"""How long a user prefix that is not seen any more counts as demand."""
SETTLE_S = 0.4
"""How long the loop waits for measurements still out before it chooses without them."""
REDISCOVER_S = 30.0
"""How often sites are looked for again near users who are still there."""
UNREACHED_MEMORY_S = 5.0
"""How long a site that could not be reached for a copy is not asked again; twice as long each further time ..."""
UNREACHED_MEMORY_MOST_S = 60.0
"""... up to this."""
REFUSAL_MEMORY_S = 60.0
"""How long a site that refused is not asked again; twice as long each further time ..."""
REFUSAL_MEMORY_MOST_S = 600.0
"""... up to this."""
SITES_PER_PREFIX = 128
"""Sites remembered near one user prefix; further ones are passed over while all of these can be reached."""
SITES_ASKED = 1_000
"""Endpoints asked at a time who is there; further sightings are passed over until the next look."""
CUSTOMER_SILENT_S = 5.0
"""How long a copy may hear nothing of its customer before it sends no users back there."""

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
WATCHERS = 32
"""Streams of events, and of logs, that a node serves at a time."""
WATCHER_WAITING = 1_000
"""Events kept for a watcher that reads slowly; the oldest go first."""
VIEW_EVERY_S = 0.5
"""How often a watcher gets a new view."""
EXPLAINED = 500
"""Most decisions told at once."""
ENDED_LEASES_KEPT = 2_000
"""Ended leases a site keeps as proof, of each side; the longest ended go first ..."""
ENDED_LEASES_BYTES = 16 * 1024 * 1024
"""... as they do when they are larger than this together."""
GUEST_LOGS_KEPT = 10_000
"""Log entries of guests a site keeps."""
GUEST_LOGS_PER_SERVICE = 1_000
"""The share of one service in it."""
SITES_KNOWN = 5_000
"""Records of other sites a site remembers; the longest unseen go first."""

# Standing still
STOOD_STILL_S = 1.0
"""How long a site may do nothing at all before it takes that for its own standstill, and not for others' silence."""

# Workers
INLINE_GUEST_MS = 1.0
"""A service whose calls take less than this on average is called on the worker's own loop, not in a thread."""
SLOW_GUEST_MS = 10.0
"""One call on the loop that took longer than this sends its service to the threads for a while."""
GUEST_THREADS = 32
"""Threads of one worker for slow guests."""
GUEST_CALLS_RUNNING = 4
"""Calls of one service that a worker runs in threads at once."""
GUEST_CALLS_WAITING = 32
"""Requests of one service that wait for a thread before more are turned away with 503."""
WRITE_STALL_S = 30.0
"""How long a user may leave an answer unread before the connection is cut."""
WEBSOCKET_UNSENT_BYTES = 1024 * 1024
"""Bytes waiting on one WebSocket before its slow reader is dropped."""
WEBSOCKET_WAITING = 16
"""Messages of one WebSocket waiting for their guest call before reading from it is paused."""
TELL_AGAIN_S = 30.0
"""How long a user who stays on a WebSocket is left alone before it is told once more where it should move."""
LEAVE_S = 10.0
"""How long users on WebSockets of a copy that has ended here are served on, so that they can move in their own time."""
WEBSOCKET_PING_S = 20.0
"""Silence on a WebSocket before it is pinged; after as much silence again it is closed."""
TOPIC_BYTES = 128
"""Longest name of a topic."""
TOPICS_PER_CONNECTION = 64
"""Topics one WebSocket may be subscribed to."""
RELAY_UNSENT_BYTES = 4 * 1024 * 1024
"""Bytes waiting on the link to another copy, or to another worker, before messages (or the link) are dropped."""
RELAY_RETRY_S = 10.0
"""Longest wait between two attempts to reach the parent's relay."""
DIALS_AT_ONCE = 64
"""Connections that the node makes for one worker at the same time."""
RELAY_HOPS = 32
"""Most sites a published message passes through."""
PUBLICATIONS_REMEMBERED = 8192
"""Ids of published messages a worker remembers, to deliver each once."""
REPORT_INTERVAL_S = 0.25
"""Time between two reports of a worker while something changes."""
WEBSOCKET_REPORT_S = 1.0
"""Time between two reports of the WebSockets that are open."""
REPORT_LOGS = 200
"""Guests' log lines in one report; more are counted and dropped."""
CONTROL_FRAME_BYTES = 64 * 1024 * 1024
"""Largest message between a node and its own workers."""
WORKER_BEAT_S = 1.0
"""Time between two signs of life of a worker."""
WORKER_SILENT_S = 5.0
"""Silence after which a worker is replaced."""
WORKER_START_S = 20.0
"""How long a worker may take to start."""
WORKER_RESTART_S = 10.0
"""Longest wait before a worker that keeps crashing is started again."""
DRAIN_S = 5.0
"""How long a worker that is told to stop finishes what it has begun."""
RETIRE_S = 30.0
"""How long a worker whose place another has taken goes on with the answers it has begun."""
RETIRE_IDLE_S = 2.0
"""How long its quiet connections are left open: the next request on them is still answered."""
ORPHAN_S = 0.5
"""How long a worker whose node is gone finishes what it has begun."""

# Scenarios
SCENARIO_SITES = 10_000
"""Sites of one scenario."""
SCENARIO_USERS = 100_000
"""Users of one scenario, crowds included."""
SCENARIO_FAULTS = 10_000
"""Faults of one run, those that put another right not counted."""
SCENARIO_S = 30 * 86_400.0
"""Longest scenario."""
SHRINK_RUNS = 200
"""Runs spent on finding the least that still goes wrong ..."""
SHRINK_S = 900.0
"""... and time."""
SCHEDULE_FILE_BYTES = 16 * 1024 * 1024
"""Largest schedule read from a file."""
RECORDING_BYTES = 512 * 1024 * 1024
"""Largest recording that is played back."""
RECORDING_LINE_BYTES = 16 * 1024 * 1024
"""Longest line of it: a view of one site."""
