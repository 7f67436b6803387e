"""Every runtime there is keeps the rules."""

from pathlib import Path

import pytest
import runtime_conformance as suite
from runtime_conformance import Does
from runtimes_guests import Workshop

from footloose.model.app import Instances, Limits
from footloose.model.guest import Guest
from footloose.runtimes.wasm.runtime import WasmRuntime

NAMES = {
    Does.ECHO: "echo_handler",
    Does.COUNT: "counter_handler",
    Does.TRAP: "trap_handler",
    Does.LOOP: "endless_loop_handler",
    Does.RECURSE: "deep_recursion_handler",
    Does.HOARD: "memory_bomb_handler",
    Does.FLOOD: "output_flood_handler",
    Does.MISLEAD: "bad_pointer_handler",
}


class WasmStand:
    """One path of the WebAssembly runtime, and the guests of these tests."""

    def __init__(self, runtime: WasmRuntime, workshop: Workshop) -> None:
        self.runtime = runtime
        self._workshop = workshop

    def guest(self, does: Does, limits: Limits, instances: Instances) -> Guest:
        """A handler."""
        return self._workshop.load(self.runtime, NAMES[does], limits, instances)

    def streaming(self) -> Guest:
        """A command."""
        return self._workshop.load(self.runtime, "echo_command", suite.ENOUGH)


@pytest.fixture
def stand(runtime: WasmRuntime, workshop: Workshop) -> suite.Stand:
    return WasmStand(runtime, workshop)


def test_a_guest_is_told_all_and_only_what_was_asked(stand: suite.Stand) -> None:
    suite.check_it_is_told_all_and_only_what_was_asked(stand)


def test_fresh_instances_remember_nothing(stand: suite.Stand) -> None:
    suite.check_fresh_instances_remember_nothing(stand)


def test_warm_instances_remember_and_share_nothing(stand: suite.Stand) -> None:
    suite.check_warm_instances_remember_and_share_nothing(stand)


@pytest.mark.parametrize("instances", Instances)
def test_each_fault_is_named_and_harms_nobody(stand: suite.Stand, instances: Instances) -> None:
    suite.check_each_fault_is_named_and_harms_nobody(stand, instances)


def test_a_storm_of_faults_harms_nobody(stand: suite.Stand) -> None:
    suite.check_a_storm_of_faults_harms_nobody(stand)


def test_ten_thousand_instances_leave_no_memory_behind(stand: suite.Stand) -> None:
    suite.check_instances_leave_no_memory_behind(stand)


def test_what_cannot_be_loaded_is_refused(stand: suite.Stand, tmp_path: Path) -> None:
    suite.check_what_cannot_be_loaded_is_refused(stand, tmp_path)


def test_bodies_and_answers_are_streamed(stand: suite.Stand) -> None:
    suite.check_streams(stand)
