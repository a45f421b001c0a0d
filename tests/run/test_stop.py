import os
import signal

import pytest

from cut3r.run.stop import Stop


@pytest.mark.parametrize(("number", "killed"), [(signal.SIGINT, False), (signal.SIGTERM, True)])
def test_the_first_signal_is_a_wish_and_the_second_is_obeyed(number, killed):
    with Stop() as stop:
        assert not stop.asked
        os.kill(os.getpid(), number)
        assert (stop.asked, stop.killed) == (True, killed)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), number)


def test_afterwards_signals_do_what_they_did_before():
    before = signal.getsignal(signal.SIGINT)
    with Stop():
        assert signal.getsignal(signal.SIGINT) != before
    assert signal.getsignal(signal.SIGINT) == before
