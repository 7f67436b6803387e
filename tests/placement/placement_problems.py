"""Problems for placers: random ones for Hypothesis, and small ones by hand."""

from collections.abc import Mapping

from hypothesis import strategies as st

from footloose.core.identity import NodeId
from footloose.model.network import Prefix, RouterId
from footloose.placement.interface import Candidate, Problem

PREFIXES = [Prefix(f"203.0.{number}.0/24") for number in range(6)]
SITES = [NodeId(f"site-{number}") for number in range(6)]
ROUTERS = [RouterId(f"10.0.{number}.0/29") for number in range(8)]

# Round figures now and then, for ties
rtts_ms = st.integers(1, 12).map(lambda tens: tens * 10.0) | st.floats(0.1, 300.0)
weights = st.sampled_from([0.0, 1.0, 1.0, 5e-324, 1e300]) | st.floats(0.0, 1000.0)


def per_prefix(values: st.SearchStrategy[float]) -> st.SearchStrategy[dict[Prefix, float]]:
    """A figure for each prefix, or for some of them."""
    return st.fixed_dictionaries(dict.fromkeys(PREFIXES, values)) | st.dictionaries(st.sampled_from(PREFIXES), values)


candidates = st.builds(
    Candidate,
    site=st.sampled_from(SITES),
    rtt_ms=per_prefix(rtts_ms),
    router=st.none() | st.sampled_from(ROUTERS),
    price_per_hour=st.sampled_from([0.0, 0.1, 0.2]),
    running=st.booleans(),
)

problems = st.builds(
    Problem,
    demand=per_prefix(weights),
    origin_rtt_ms=per_prefix(rtts_ms),
    candidates=st.lists(candidates, unique_by=lambda one: one.site, max_size=len(SITES)).map(tuple),
    copies=st.integers(0, 4),
    paths=st.dictionaries(
        st.sampled_from(PREFIXES), st.lists(st.sampled_from(ROUTERS), unique=True, max_size=5).map(tuple)
    ),
    served_at=st.dictionaries(st.sampled_from(PREFIXES), st.sampled_from(SITES), max_size=3),
    slo_latency_ms=st.none() | st.floats(1.0, 200.0),
    hysteresis_ms=st.sampled_from([0.0, 2.0, 20.0]),
    seed=st.integers(0, 3),
)


def site(name: str, rtt_ms: Mapping[str, float], **more: object) -> Candidate:
    """A candidate, its round trips given by the last part of the prefix's name."""
    return Candidate(NodeId(name), {Prefix(prefix): rtt for prefix, rtt in rtt_ms.items()}, **more)  # type: ignore[arg-type]


def problem(
    demand: Mapping[str, float], origin_ms: float, *sites: Candidate, copies: int = 1, **more: object
) -> Problem:
    """A problem where every prefix has ``origin_ms`` if it stays."""
    weights_by_prefix = {Prefix(prefix): weight for prefix, weight in demand.items()}
    return Problem(weights_by_prefix, dict.fromkeys(weights_by_prefix, origin_ms), sites, copies, **more)  # type: ignore[arg-type]
