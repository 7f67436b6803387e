"""Signing and checking what members say, with the keys that their ids are."""

import msgspec

from footloose.core.errors import RemoteError
from footloose.core.identity import Identity, verify
from footloose.membership.card import Accusation, Card, News
from footloose.membership.wire import checked, signed_bytes


class IdentityNotary:
    """Signs as one identity. A card is checked once per change of it, an accusation once."""

    def __init__(self, identity: Identity) -> None:
        self._identity = identity

    def sign_card(self, card: Card) -> Card:
        """The card with this node's signature, in the very digits others will read.

        Raises :class:`footloose.core.errors.LocalError` if others would not accept it.
        """
        plain = checked(card)
        return msgspec.structs.replace(plain, signature=self._identity.sign(signed_bytes(plain)))

    def sign_accusation(self, accusation: Accusation) -> Accusation:
        """The accusation with this node's signature."""
        return msgspec.structs.replace(accusation, signature=self._identity.sign(signed_bytes(accusation)))

    def genuine(self, news: News) -> bool:
        """Whether who is said to say this has signed it."""
        signer = news.node if isinstance(news, Card) else news.accuser
        try:
            verify(signer, news.signature, signed_bytes(news))
        except RemoteError:
            return False
        return True
