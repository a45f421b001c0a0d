import threading
import weakref

import pytest

from cut3r.inference.background import Background


class Item:
    """Something that a weak reference can point to."""


def test_the_work_of_all_items_is_done_in_their_order_in_another_thread():
    done = []
    work = Background(lambda item: done.append((item, threading.current_thread().name)), most=2, name="worker")
    for item in range(50):
        work.put(item)
    work.drain()
    assert done == [(item, "worker") for item in range(50)]
    work.close()


def test_put_waits_while_as_many_items_wait_as_may():
    go_on, put = threading.Semaphore(0), []
    work = Background(lambda _: go_on.acquire(timeout=10), most=2, name="worker")

    def put_all():
        for item in range(6):
            work.put(item)
            put.append(item)

    caller = threading.Thread(target=put_all)
    caller.start()
    caller.join(0.2)
    assert put == [0, 1, 2], "one is worked on, two wait"
    go_on.release(6)
    caller.join(10)
    assert put == list(range(6))
    work.close()


def test_an_error_drops_what_waits_and_reaches_the_next_call():
    started, go_on, done = threading.Event(), threading.Event(), []

    def fail_at_two(item: int) -> None:
        started.set()
        go_on.wait(10)
        if item == 2:
            raise OSError("no more")
        done.append(item)

    work = Background(fail_at_two, most=8, name="worker")
    for item in (1, 2, 3):
        work.put(item)
    go_on.set()
    for call in (work.drain, work.drain, lambda: work.put(4)):
        with pytest.raises(OSError, match="no more"):
            call()
    assert (done, work.failed) == ([1], 2)
    work.close()


def test_a_caller_who_waits_for_room_hears_of_the_error():
    go_on = threading.Event()

    def fail(_: int) -> None:
        go_on.wait(10)
        raise ValueError("broken")

    work = Background(fail, most=1, name="worker")
    work.put(0)
    work.put(1)
    threading.Timer(0.1, go_on.set).start()
    with pytest.raises(ValueError, match="broken"):
        work.put(2)
    work.close()


def test_a_finished_item_is_not_kept_alive():
    work = Background(lambda _: None, most=1, name="worker")
    item = Item()
    seen = weakref.ref(item)
    work.put(item)
    del item
    work.drain()
    assert seen() is None
    work.close()


def test_closing_ends_the_thread_and_may_be_done_twice():
    before = threading.active_count()
    work = Background(lambda _: None, most=1, name="worker")
    work.put(0)
    work.close()
    work.close()
    assert threading.active_count() == before


def test_somebody_must_be_able_to_wait():
    with pytest.raises(ValueError, match="at least 1"):
        Background(lambda _: None, most=0, name="worker")
