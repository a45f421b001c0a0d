import socket

import pytest

from cut3r.viewer.address import check_host, page_url, url_for_others
from cut3r.viewer.app import Viewer


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:80"),
        ("0.0.0.0", "http://localhost:80"),
        ("::", "http://[::1]:80"),
        ("fe80::1", "http://[fe80::1]:80"),
        ("workstation", "http://workstation:80"),
    ],
)
def test_a_browser_on_this_machine_finds_the_page(host, url):
    assert page_url(host, 80) == url


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "localhost", "::1"])
def test_others_do_not_find_a_page_that_is_for_this_machine(host):
    assert url_for_others(host, 80) is None


def test_others_find_a_page_at_the_address_of_the_machine():
    assert url_for_others("10.0.0.5", 80) == "http://10.0.0.5:80"
    address = url_for_others("0.0.0.0", 80)
    assert address is not None
    assert "0.0.0.0" not in address
    assert address.startswith("http://")


def test_a_machine_without_a_network_is_known_by_its_name(monkeypatch):
    def no_way(*_: object) -> None:
        raise OSError("Network is unreachable")

    monkeypatch.setattr(socket.socket, "connect", no_way)
    assert url_for_others("0.0.0.0", 80) == f"http://{socket.gethostname()}:80"


def test_an_address_of_this_machine_is_accepted():
    check_host("127.0.0.1")
    check_host("0.0.0.0")


def test_the_page_is_for_this_machine_alone_unless_opened(caplog):
    viewer = Viewer(port=0)
    try:
        assert viewer._server.get_host() == "127.0.0.1"
        assert viewer.url == f"http://127.0.0.1:{viewer._server.get_port()}"
        assert "can watch" not in caplog.text
    finally:
        viewer.close()


def test_an_open_page_says_where_others_find_it(caplog):
    viewer = Viewer(port=0, host="0.0.0.0")
    viewer.close()
    assert viewer.url.startswith("http://localhost:")
    assert f":{viewer._server.get_port()}" in caplog.text.split("can watch at http://")[1]


@pytest.mark.parametrize("host", ["", "192.0.2.77", "no host.invalid"])
def test_an_address_of_another_machine_is_refused_at_once(host):
    with pytest.raises(ValueError, match=f"cannot listen at '{host}'"):
        Viewer(port=0, host=host)
