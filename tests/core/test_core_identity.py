"""Node ids: one text per key, and signatures only the key can make."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from footloose.core.errors import RemoteError
from footloose.core.identity import Identity, node_id_of, public_key_of, short, verify

seeds = st.binary(min_size=32, max_size=32)


def test_the_test_vector_of_rfc_8032_holds() -> None:
    seed = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
    identity = Identity.from_seed(seed)
    public = bytes.fromhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")
    assert public_key_of(identity.node_id).public_bytes_raw() == public
    assert identity.sign(b"").hex().startswith("e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555f")


@given(seeds)
def test_a_node_id_is_its_key_and_back(seed: bytes) -> None:
    identity = Identity.from_seed(seed)
    assert len(identity.node_id) == 52
    assert node_id_of(public_key_of(identity.node_id)) == identity.node_id
    assert identity.seed() == seed


@given(seeds, st.binary())
def test_a_signature_verifies_for_its_message_and_signer(seed: bytes, message: bytes) -> None:
    identity = Identity.from_seed(seed)
    verify(identity.node_id, identity.sign(message), message)
    with pytest.raises(RemoteError, match="does not fit"):
        verify(identity.node_id, identity.sign(message), message + b"x")


@given(seeds, seeds, st.binary())
def test_a_signature_is_no_one_elses(one: bytes, other: bytes, message: bytes) -> None:
    if one == other:
        return
    with pytest.raises(RemoteError):
        verify(Identity.from_seed(other).node_id, Identity.from_seed(one).sign(message), message)


@given(st.binary(max_size=80), st.binary())
def test_an_invented_signature_is_refused(signature: bytes, message: bytes) -> None:
    with pytest.raises(RemoteError):
        verify(Identity.from_seed(b"k" * 32).node_id, signature, message)


@given(st.text())
def test_text_that_is_no_node_id_is_refused_and_nothing_worse(text: str) -> None:
    with pytest.raises(RemoteError):
        public_key_of(text)


@given(seeds, st.integers(0, 51), st.sampled_from("abcdefghijklmnopqrstuvwxyz234567"))
def test_no_two_texts_name_one_key(seed: bytes, position: int, letter: str) -> None:
    """The last letter carries spare bits; only the form with these at zero is an id."""
    node_id = Identity.from_seed(seed).node_id
    other = node_id[:position] + letter + node_id[position + 1 :]
    if other == node_id:
        return
    try:
        key = public_key_of(other)
    except RemoteError:
        return
    assert key.public_bytes_raw() != public_key_of(node_id).public_bytes_raw()


def test_another_spelling_of_an_id_is_refused() -> None:
    node_id = Identity.from_seed(b"k" * 32).node_id
    for spelling in (node_id.upper(), node_id + "====", " " + node_id, node_id + "a"):
        with pytest.raises(RemoteError):
            public_key_of(spelling)


def test_new_identities_differ() -> None:
    assert Identity.generate().node_id != Identity.generate().node_id


def test_the_short_form_begins_the_id() -> None:
    node_id = Identity.from_seed(b"k" * 32).node_id
    assert node_id.startswith(short(node_id))
    assert len(short(node_id)) == 16
