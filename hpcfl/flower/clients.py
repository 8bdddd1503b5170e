"""The clients as a strategy sees them: all there, and sampled from streams that belong to the round."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from hpcfl.core import World
from hpcfl.errors import TrainingError
from hpcfl.flower import nouns
from hpcfl.flower.nouns import ClientManager, ClientProxy
from hpcfl.rng import stream

__all__ = ["Clients"]


class Clients(ClientManager):
    """Those of the world that train."""

    def __init__(
        self,
        world: World,
        properties: Callable[[int, dict[str, Any]], dict[str, Any]] | None = None,
        words: Any = nouns,
    ):
        """`properties`: (client, config) -> what a client says of itself, where it can be asked; in whose words."""
        self._seed = world.seed
        self._proxies = {str(client): ClientProxy(str(client)) for client in range(world.clients)}
        for client, proxy in enumerate(self._proxies.values()):
            proxy.properties = {"partition-id": client, "num-examples": world.examples(client)}
            if properties:
                proxy.ask = partial(tell, words, properties, client)
        self._address: tuple[str | int, ...] = ()
        self._drawn: dict[tuple[str | int, ...], int] = {}

    def begin(self, *address: str | int) -> None:
        """From now on samples are drawn for this method and round."""
        self._address = address

    def __len__(self) -> int:
        return len(self._proxies)

    def num_available(self) -> int:
        """How many there are."""
        return len(self._proxies)

    def all(self) -> dict[str, ClientProxy]:
        """cid -> client."""
        return dict(self._proxies)

    def wait_for(self, num_clients: int, timeout: float = 0.0) -> bool:
        """Whether there are as many; on a cluster nobody comes later."""
        return num_clients <= len(self._proxies)

    def sample(self, num_clients: int, min_num_clients: int | None = None, criterion: Any = None) -> list[ClientProxy]:
        """So many of those that the criterion selects; none if these are fewer. The same on any machine.

        TrainingError where Flower would wait for more clients to come.
        """
        least = num_clients if min_num_clients is None else min_num_clients
        if not self.wait_for(least):
            raise TrainingError(
                f"waits for {least} clients, and there are {len(self)}; lower min_available_clients (and "
                "min_*_clients) of the strategy, or raise partition.clients"
            )
        able = [proxy for proxy in self._proxies.values() if criterion is None or criterion.select(proxy)]
        if num_clients > len(able):
            return []
        turn = self._drawn[self._address] = self._drawn.get(self._address, 0) + 1
        places = stream(self._seed, "flower", *self._address, turn).permutation(len(able))[:num_clients]
        return [able[place] for place in places.tolist()]

    def proxy(self, client: int) -> ClientProxy:
        """The one of this number."""
        return self._proxies[str(client)]

    def number(self, proxy: Any) -> int:
        """The client that a proxy stands for; ValueError if none of these."""
        if self._proxies.get(getattr(proxy, "cid", None)) is not proxy:
            raise ValueError(f"{proxy!r:.60}, which is none of the client_manager's clients")
        return int(proxy.cid)


def tell(words: Any, properties: Any, client: int, config: dict[str, Any]) -> Any:
    """The answer to `get_properties`."""
    return words.GetPropertiesRes(words.Status(words.Code.OK, "Success"), properties(client, config))
