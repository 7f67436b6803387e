"""One look-up: ask ever nearer nodes until the nearest have answered (Kademlia §2.3).

An answer that is late, by what earlier ones took, no longer holds up the look-up, but still counts when it comes.
"""

from bisect import insort
from collections.abc import Iterable
from enum import Enum

from footloose.core.limits import DHT_PARALLEL, DHT_QUERIES_PER_LOOKUP
from footloose.core.table import TransitionTable
from footloose.discovery.dht.contact import Contact
from footloose.discovery.dht.keys import Key


class LookupState(Enum):
    """How far a look-up is."""

    SEARCHING = "searching"
    """Going nearer, a few requests at a time."""
    CONFIRMING = "confirming"
    """The nearest node known has answered and knows none nearer: the rest of the nearest are asked all at once."""
    DONE = "done"


class LookupEvent(Enum):
    """What moves a look-up on."""

    NEAREST_ANSWERED = "nearest answered"
    NEARER_HEARD = "nearer heard of"
    COMPLETE = "complete"
    OUT_OF_TIME = "out of time"


LOOKUP = TransitionTable(
    "DHT look-up",
    {
        (LookupState.SEARCHING, LookupEvent.NEAREST_ANSWERED): LookupState.CONFIRMING,
        (LookupState.SEARCHING, LookupEvent.COMPLETE): LookupState.DONE,
        (LookupState.SEARCHING, LookupEvent.OUT_OF_TIME): LookupState.DONE,
        (LookupState.CONFIRMING, LookupEvent.NEARER_HEARD): LookupState.SEARCHING,
        (LookupState.CONFIRMING, LookupEvent.COMPLETE): LookupState.DONE,
        (LookupState.CONFIRMING, LookupEvent.OUT_OF_TIME): LookupState.DONE,
    },
)


class QueryState(Enum):
    """Where a look-up stands with one node."""

    HEARD = "heard"
    ASKED = "asked"
    LATE = "late"
    ANSWERED = "answered"
    FAILED = "failed"


class QueryEvent(Enum):
    """What happens between a look-up and one node."""

    ASK = "ask"
    RUN_LATE = "run late"
    ANSWER = "answer"
    FAIL = "fail"


QUERY = TransitionTable(
    "DHT query",
    {
        (QueryState.HEARD, QueryEvent.ASK): QueryState.ASKED,
        (QueryState.ASKED, QueryEvent.RUN_LATE): QueryState.LATE,
        (QueryState.ASKED, QueryEvent.ANSWER): QueryState.ANSWERED,
        (QueryState.LATE, QueryEvent.ANSWER): QueryState.ANSWERED,
        (QueryState.ASKED, QueryEvent.FAIL): QueryState.FAILED,
        (QueryState.LATE, QueryEvent.FAIL): QueryState.FAILED,
    },
)


class Lookup:
    """Finds the ``width`` live nodes nearest ``target``, starting from ``seeds``."""

    def __init__(
        self,
        target: Key,
        own: Key,
        seeds: Iterable[Contact],
        *,
        width: int,
        parallel: int = DHT_PARALLEL,
        queries: int = DHT_QUERIES_PER_LOOKUP,
    ) -> None:
        self.target = target
        self.state = LookupState.SEARCHING
        self.asked = 0
        self.answers = 0
        self.round_trips = 0
        self._own = own
        self._width = width
        self._parallel = parallel
        self._most_queries = queries
        self._contacts: dict[Key, Contact] = {}
        self._states: dict[Key, QueryState] = {}
        self._tokens: dict[Key, bytes] = {}
        self._trips: dict[Key, int] = {}
        self._trips_before = 0
        self._by_distance: list[tuple[int, Key]] = []
        self._hear(seeds)
        self._move_on()

    @property
    def done(self) -> bool:
        """Whether there is nothing left to ask or to wait for."""
        return self.state is LookupState.DONE

    def next_queries(self) -> list[Contact]:
        """Whom to ask now; they count as asked from here on."""
        if self.done:
            return []
        outstanding = [key for key in self._front() if self._states[key] in (QueryState.HEARD, QueryState.ASKED)]
        # While searching, the few nearest are always on their way, however many farther ones are still awaited.
        window = outstanding[: self._parallel] if self.state is LookupState.SEARCHING else outstanding
        heard = [key for key in window if self._states[key] is QueryState.HEARD]
        chosen = heard[: self._most_queries - self.asked]
        for key in chosen:
            self._states[key] = QUERY.next(self._states[key], QueryEvent.ASK)
            self._trips[key] = self._trips_before + 1
        self.asked += len(chosen)
        return [self._contacts[key] for key in chosen]

    def answered(self, who: Key, token: bytes, contacts: Iterable[Contact]) -> None:
        """``who`` answered with ``contacts``, and lets us store with ``token``."""
        if self.done:
            return
        self._states[who] = QUERY.next(self._states[who], QueryEvent.ANSWER)
        self._tokens[who] = token
        self.answers += 1
        self.round_trips = max(self.round_trips, self._trips[who])
        self._trips_before = self._trips[who]
        self._hear(contacts)
        self._move_on()

    def late(self, who: Key) -> None:
        """``who`` takes longer than usual."""
        if not self.done:
            self._states[who] = QUERY.next(self._states[who], QueryEvent.RUN_LATE)
            self._trips_before = self._trips[who]
            self._move_on()

    def failed(self, who: Key) -> None:
        """``who`` will not answer any more."""
        if not self.done:
            self._states[who] = QUERY.next(self._states[who], QueryEvent.FAIL)
            self._trips_before = self._trips[who]
            self._move_on()

    def out_of_time(self) -> None:
        """End with what there is."""
        if not self.done:
            self.state = LOOKUP.next(self.state, LookupEvent.OUT_OF_TIME)

    def holders(self, count: int) -> list[tuple[Contact, bytes]]:
        """The nearest nodes that answered, with the tokens they gave."""
        answered = [key for _, key in self._by_distance if self._states[key] is QueryState.ANSWERED]
        return [(self._contacts[key], self._tokens[key]) for key in answered[:count]]

    def round_trips_to(self, who: Key) -> int:
        """1 for those asked at once, 2 for those asked because one of them had answered or was late, and so on."""
        return self._trips[who]

    def _hear(self, contacts: Iterable[Contact]) -> None:
        for contact in contacts:
            if contact.key == self._own or contact.key in self._contacts:
                continue
            self._contacts[contact.key] = contact
            self._states[contact.key] = QueryState.HEARD
            insort(self._by_distance, (contact.key ^ self.target, contact.key))

    def _front(self) -> list[Key]:
        """The nearest nodes that may still answer or have; for each that is late, one more is let in."""
        spent = self.asked >= self._most_queries
        front: list[Key] = []
        room = self._width
        for _, key in self._by_distance:
            state = self._states[key]
            if state is QueryState.FAILED or (spent and state is QueryState.HEARD):
                continue
            front.append(key)
            room -= state is not QueryState.LATE
            if not room:
                break
        return front

    def _move_on(self) -> None:
        states = [self._states[key] for key in self._front()]
        if self._complete(states):
            self.state = LOOKUP.next(self.state, LookupEvent.COMPLETE)
            return
        nearest = next((state for state in states if state is not QueryState.LATE), None)
        if self.state is LookupState.SEARCHING and nearest is QueryState.ANSWERED:
            self.state = LOOKUP.next(self.state, LookupEvent.NEAREST_ANSWERED)
        elif self.state is LookupState.CONFIRMING and nearest is QueryState.HEARD:
            self.state = LOOKUP.next(self.state, LookupEvent.NEARER_HEARD)

    @staticmethod
    def _complete(states: list[QueryState]) -> bool:
        """All of the nearest answered; or most did, and the others are late."""
        answered = states.count(QueryState.ANSWERED)
        late = states.count(QueryState.LATE)
        return answered + late == len(states) and (late == 0 or answered > late)
