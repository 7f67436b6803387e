"""Several streams as one, each item as soon as it comes."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from typing import Generic, TypeVar

T = TypeVar("T")


class _Item(Generic[T]):
    def __init__(self, value: T) -> None:
        self.value = value


class _End:
    def __init__(self, error: Exception | None) -> None:
        self.error = error


async def merged(streams: Iterable[AsyncIterator[T]]) -> AsyncGenerator[T, None]:
    """All items of all ``streams``, in the order they come.

    The first error of a stream ends the whole and is raised here; streams still running are then cancelled, as they are
    when the caller closes this generator.
    """
    # Not bounded: every stream merged in this room ends by a limit of its own.
    queue: asyncio.Queue[_Item[T] | _End] = asyncio.Queue()

    async def pump(stream: AsyncIterator[T]) -> None:
        try:
            async for item in stream:
                queue.put_nowait(_Item(item))
        except Exception as error:  # noqa: BLE001 - handed to the reader, who raises it
            queue.put_nowait(_End(error))
        else:
            queue.put_nowait(_End(None))

    tasks = [asyncio.create_task(pump(stream)) for stream in streams]
    running = len(tasks)
    try:
        while running:
            arrival = await queue.get()
            if isinstance(arrival, _Item):
                yield arrival.value
                continue
            running -= 1
            if arrival.error is not None:
                raise arrival.error
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
