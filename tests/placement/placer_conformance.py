"""What every placer has to hold to. Run on all registered placers; run it on yours."""

import math
import re

import msgspec

from footloose.core.codec import encode
from footloose.core.identity import NodeId
from footloose.model.network import Prefix
from footloose.placement.interface import Placement, Placer, Problem


def check_placer(placer: Placer, problem: Problem) -> None:
    """Put ``problem`` to ``placer`` and check its answer in every way that does not depend on the algorithm."""
    before = encode(problem)
    placement = placer.place(problem)
    assert encode(problem) == before, "the problem was changed"
    check_repeats_itself(placer, problem, placement)
    check_choices(problem, placement)
    check_assignment(problem, placement)


def check_repeats_itself(placer: Placer, problem: Problem, placement: Placement) -> None:
    assert placer.place(problem) == placement, "the same problem got another answer"
    turned = msgspec.structs.replace(
        problem,
        candidates=problem.candidates[::-1],
        demand=dict(reversed(problem.demand.items())),
        paths=dict(reversed(problem.paths.items())),
    )
    assert placer.place(turned) == placement, "the order in which things are listed made a difference"


def check_choices(problem: Problem, placement: Placement) -> None:
    chosen = [choice.site for choice in placement.choices]
    assert len(chosen) <= problem.copies, "over budget"
    assert len(set(chosen)) == len(chosen), "a site was chosen twice"
    assert set(chosen) <= {candidate.site for candidate in problem.candidates}, "a site that is no candidate"
    assert set(chosen) == set(placement.assignment.values()), "a site without users, or users without a site"
    for choice in placement.choices:
        assert re.fullmatch(r"[A-Z0-9].*\.", choice.reason), f"not a sentence: {choice.reason!r}"
        assert re.search(r"\d", choice.reason), f"no figures: {choice.reason!r}"
        assert math.isfinite(choice.gain_ms)
        assert choice.gain_ms > 0


def check_assignment(problem: Problem, placement: Placement) -> None:
    candidates = {candidate.site: candidate for candidate in problem.candidates}
    chosen = [choice.site for choice in placement.choices]
    for prefix, site in placement.assignment.items():
        assert problem.demand[prefix] > 0
        saved_ms = problem.origin_rtt_ms[prefix] - candidates[site].rtt_ms[prefix]
        assert saved_ms > 0, "worse than staying"
        assert saved_ms >= least_saving_ms(problem, site, prefix), "not worth moving"
        for other in chosen:
            rtt_ms = candidates[other].rtt_ms.get(prefix, math.inf)
            assert rtt_ms >= candidates[site].rtt_ms[prefix] - problem.hysteresis_ms, "a chosen site is clearly better"


def least_saving_ms(problem: Problem, site: NodeId, prefix: Prefix) -> float:
    """What a site has to save a prefix against staying, as the interface has it."""
    if problem.served_at.get(prefix) == site:
        return 0.0
    running = any(candidate.site == site and candidate.running for candidate in problem.candidates)
    return problem.hysteresis_ms / 2 if running else problem.hysteresis_ms
