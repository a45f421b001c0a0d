"""A visitor over a real connection, without a browser: who comes gets a page, who goes is forgotten."""

import threading

import msgspec
import viser
from websockets.sync.client import connect

from benchmarks.page_traffic import CAMERA
from cut3r.viewer.app import Viewer


def test_who_comes_gets_a_page_of_their_own_and_who_goes_is_forgotten(small_room, wait_until, caplog):
    viewer = Viewer(port=0)
    for number in range(3):
        viewer.add(small_room.result(number))
    sockets, sizes = [], [0, 0]

    def read(number: int) -> None:
        for window in sockets[number]:
            sizes[number] += len(window)

    for number in range(2):
        address = viewer.url.replace("http", "ws")
        sockets.append(connect(address, subprotocols=[f"viser-v{viser.__version__}"], max_size=None))
        sockets[number].send(msgspec.msgpack.encode(CAMERA))
        threading.Thread(target=read, args=(number,), daemon=True).start()
        wait_until(lambda count=number + 1: len(viewer._pages) == count)
    first, second = viewer._pages.values()
    wait_until(lambda: first.status.points == second.status.points == 3 * 24 * 32)
    wait_until(lambda: min(sizes) > 3 * 24 * 32 * 9)  # each has got all points
    first.timeline.mode.value = "one frame"
    first._wake()
    wait_until(lambda: first.status.points == 24 * 32)
    assert second.status.points == 3 * 24 * 32
    sockets[0].close()
    wait_until(lambda: list(viewer._pages.values()) == [second])
    viewer.close()  # while somebody looks
    assert not [record for record in caplog.records if record.levelname == "ERROR"]
    sockets[1].close()
