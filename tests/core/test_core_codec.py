"""Bytes on the wire: whatever comes, it is a value of the wanted type or a RemoteError."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from footloose.core.codec import Signed, decode, encode, open_signed, sign
from footloose.core.errors import LimitExceeded, RemoteError
from footloose.core.identity import Identity
from footloose.core.limits import MESSAGE_BYTES


class Note(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    text: str
    number: int = 0
    data: bytes = b""


class Memo(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    text: str
    number: int = 0
    data: bytes = b""


AUTHOR = Identity.from_seed(b"a" * 32)
notes = st.builds(Note, st.text(), st.integers(-(2**63), 2**63 - 1), st.binary())


@given(notes)
def test_what_is_encoded_decodes_to_the_same(note: Note) -> None:
    assert decode(encode(note), Note) == note


@given(notes)
def test_the_same_value_has_the_same_bytes(note: Note) -> None:
    assert encode(note) == encode(Note(note.text, note.number, note.data))


@given(st.binary())
def test_garbage_is_a_remote_error_and_nothing_worse(data: bytes) -> None:
    with pytest.raises(RemoteError):
        decode(data, Note)


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.text(), st.lists, max_leaves=20))
def test_json_of_another_shape_is_a_remote_error(value: object) -> None:
    with pytest.raises(RemoteError, match="not a valid Note"):
        decode(msgspec.json.encode(value), Note)


@pytest.mark.parametrize(
    ("data", "named"),
    [
        (b'{"text":1}', r"\$\.text"),
        (b'{"text":"","number":"1"}', r"\$\.number"),
        (b'{"text":"","else":1}', "else"),
        (b"{}", "text"),
        (b'{"text":"","number":1e400}', "number"),
        (b'{"text":"\xff"}', "here"),
        (b"[" * 100_000, "here"),
    ],
)
def test_an_error_names_what_is_wrong_and_where(data: bytes, named: str) -> None:
    with pytest.raises(RemoteError, match=named) as caught:
        decode(data, Note, where="here")
    assert str(caught.value).startswith("here: ")


def test_a_message_over_the_limit_is_not_even_read() -> None:
    with pytest.raises(LimitExceeded, match="262145 bytes, more than the 262144 allowed"):
        decode(b"x" * (MESSAGE_BYTES + 1), Note)
    with pytest.raises(LimitExceeded):
        decode(b'{"text":""}', Note, limit=10)
    assert decode(b'{"text":""}', Note, limit=11) == Note("")


@given(notes)
def test_a_signed_value_opens_to_itself_also_after_a_journey(note: Note) -> None:
    journeyed = decode(encode(sign(note, AUTHOR)), Signed)
    assert open_signed(journeyed, Note) == note
    assert journeyed.signer == AUTHOR.node_id


@given(notes, st.sampled_from(["kind", "payload", "signer", "signature"]), st.integers(0), st.integers(0, 255))
def test_a_signed_value_with_any_byte_altered_is_refused(note: Note, field: str, position: int, byte: int) -> None:
    signed = sign(note, AUTHOR)
    before = getattr(signed, field)
    raw = bytearray(before.encode() if isinstance(before, str) else before)
    raw[position % len(raw)] = byte
    after = raw.decode("latin-1") if isinstance(before, str) else bytes(raw)
    if after == before:
        return
    with pytest.raises(RemoteError):
        open_signed(msgspec.structs.replace(signed, **{field: after}), Note)


def test_one_type_cannot_pass_as_another_of_the_same_shape() -> None:
    signed = sign(Note("x"), AUTHOR)
    with pytest.raises(RemoteError, match="a signed 'Note' where a Memo was wanted"):
        open_signed(signed, Memo)
    with pytest.raises(RemoteError, match="signature"):
        open_signed(msgspec.structs.replace(signed, kind="Memo"), Memo)


def test_the_end_of_a_kind_cannot_slide_into_the_payload() -> None:
    signed = sign(Note("x"), AUTHOR)
    moved = Signed("Not", b"e\n" + signed.payload, signed.signer, signed.signature)
    with pytest.raises(RemoteError):
        open_signed(moved, Note)


def test_another_signer_cannot_take_the_credit() -> None:
    signed = sign(Note("x"), AUTHOR)
    with pytest.raises(RemoteError):
        open_signed(msgspec.structs.replace(signed, signer=Identity.generate().node_id), Note)


@given(st.text(max_size=80), st.binary(max_size=80), st.text(max_size=80), st.binary(max_size=80))
def test_an_invented_envelope_is_refused(kind: str, payload: bytes, signer: str, signature: bytes) -> None:
    for one in (kind, "Note"):
        for by in (signer, AUTHOR.node_id):
            with pytest.raises(RemoteError):
                open_signed(Signed(one, payload, by, signature), Note)  # type: ignore[arg-type]
