"""The server lets in who has the printed address, once, and nobody else; it never does more than read."""

import http.client
import json
import socket
import threading

import pytest

from mematlas.errors import OptionError
from mematlas.explorer import routes
from mematlas.explorer.server import ExplorerServer


@pytest.fixture
def server(full):
    with ExplorerServer(full) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def request(server, path, method="GET", **headers):
    """Status, headers and content."""
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=10)
    connection.putrequest(method, path, skip_host=True)
    for name, value in {"Host": server.hosts[0], **headers}.items():
        for single in value if isinstance(value, list) else [value]:
            connection.putheader(name, single)
    connection.endheaders()
    response = connection.getresponse()
    content = response.read()
    connection.close()
    return response.status, response.headers, content


@pytest.fixture
def cookie(server):
    status, headers, _ = request(server, server.address.partition(str(server.server_port))[2])
    assert (status, headers["Location"]) == (303, "/")
    return headers["Set-Cookie"].partition(";")[0]


def test_it_listens_on_this_machine_only(server):
    assert server.server_address[0] == "127.0.0.1"
    assert server.address.startswith(f"http://127.0.0.1:{server.server_port}/?token=")


def test_the_printed_address_works_once_and_its_cookie_is_hidden_from_scripts_and_other_sites(server):
    path = server.address.partition(str(server.server_port))[2]
    status, headers, content = request(server, path)
    assert (status, content) == (303, b"")
    name, *attributes = headers["Set-Cookie"].split("; ")
    assert set(attributes) == {"HttpOnly", "SameSite=Strict", "Path=/"}
    assert path.partition("=")[2] not in name  # the token is of no use to who reads the cookie's place
    assert request(server, path)[0] == 403
    assert request(server, "/", Cookie=name)[0] == 200
    assert request(server, path, Cookie=name)[0] == 303  # the same browser may open it again


@pytest.mark.parametrize("path", ["/", "/api/study", "/api/rows", "/static/index.html", "/nowhere", "/?token=wrong"])
def test_without_the_cookie_nothing_is_shown(server, cookie, path):
    for headers in ({}, {"Cookie": cookie[:-1]}, {"Cookie": f"x{cookie}"}, {"Cookie": cookie.partition("=")[0]}):
        status, _, content = request(server, path, **headers)
        assert status == 403
        assert b"mematlas explore" in content
    status = request(server, path, Cookie=f"a=b; {cookie}; c=d")[0]
    assert status == {"/nowhere": 404, "/?token=wrong": 303}.get(path, 200)


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1", "localhost:1", "evil.example:{port}", "[::1]:{port}", ""]
)
def test_another_hosts_name_is_refused(server, cookie, host):
    named = host.format(port=server.server_port)
    assert request(server, "/api/rows", Host=named, Cookie=cookie)[0] == 421
    both = [server.hosts[0], named]
    assert request(server, "/api/rows", Host=both, Cookie=cookie)[0] == 421
    assert request(server, "/api/rows", Host=f"localhost:{server.server_port}", Cookie=cookie)[0] == 200


def test_a_foreign_host_does_not_use_up_the_token(server):
    path = server.address.partition(str(server.server_port))[2]
    assert request(server, path, Host="evil.example")[0] == 421
    assert request(server, path)[0] == 303


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "ANYTHING"])
def test_requests_only_read(server, cookie, method):
    status, headers, _ = request(server, "/api/rows", method, Cookie=cookie)
    assert (status, headers["Allow"], headers["Connection"]) == (405, "GET, HEAD", "close")
    assert "Access-Control-Allow-Origin" not in headers


def test_head_has_the_headers_of_get_and_no_content(server, cookie):
    for path in ("/", "/api/strip", "/api/export?format=csv"):
        status, headers, content = request(server, path, "HEAD", Cookie=cookie)
        assert (status, content) == (200, b"")
        assert headers["Content-Length"] == request(server, path, Cookie=cookie)[1]["Content-Length"]


@pytest.mark.parametrize("path", ["/", "/api/rows", "/static/index.html", "/api/export?format=csv", "/nothing"])
def test_every_answer_forbids_what_the_page_does_not_need(server, cookie, path):
    for given in (cookie, "none"):
        headers = request(server, path, Cookie=given)[1]
        policy = dict(part.strip().split(" ", 1) for part in headers["Content-Security-Policy"].split(";"))
        assert policy["default-src"] == "'none'"
        assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
        assert policy["frame-ancestors"] == policy["base-uri"] == policy["form-action"] == "'none'"
        assert "unsafe" not in headers["Content-Security-Policy"]
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    "name",
    ["../routes.py", "..%2froutes.py", "/etc/passwd", "....//routes.py", "index.html/..", "", ".", "index.html%00.js"],
)
def test_no_address_leads_out_of_the_page(server, cookie, name):
    status, _, content = request(server, f"/static/{name}", Cookie=cookie)
    assert status == 404
    assert b"import" not in content


def test_files_of_the_page_have_their_types(server, cookie):
    for path in routes.PAGE.iterdir():
        status, headers, content = request(server, f"/static/{path.name}", Cookie=cookie)
        assert (status, content) == (200, path.read_bytes())
        assert headers["Content-Type"].split(";")[0] in ("text/html", "text/css", "text/javascript", "image/svg+xml")


def test_errors_of_data_are_json_and_tell_nothing_of_the_program(server, cookie, monkeypatch, capsys):
    def fail(*_):
        raise RuntimeError("a secret detail")

    monkeypatch.setitem(server.explorer._routes, "/api/study", fail)
    status, headers, content = request(server, "/api/study", Cookie=cookie)
    assert (status, headers["Content-Type"]) == (500, "application/json; charset=utf-8")
    assert set(json.loads(content)) == {"error"}
    assert b"secret" not in content
    assert "RuntimeError: a secret detail" in capsys.readouterr().err
    assert request(server, "/api/rows", Cookie=cookie)[0] == 200  # it goes on
    status, _, content = request(server, "/api/rows?level=none", Cookie=cookie)
    assert (status, set(json.loads(content))) == (400, {"error"})


def test_a_request_that_is_none_does_not_stop_it(server, cookie, capsys):
    for sent in (
        b"\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"\x16\x03\x01\x02\x00",
        b"GET /" + b"a" * 70_000,
    ):
        with socket.create_connection(("127.0.0.1", server.server_port), timeout=10) as connection:
            connection.sendall(sent)
    assert request(server, "/api/rows", Cookie=cookie)[0] == 200
    assert "Traceback" not in capsys.readouterr().err


def test_a_connection_may_ask_again(server, cookie):
    connection = http.client.HTTPConnection(server.hosts[0], timeout=10)
    for path in ("/api/strip", "/api/rows", "/"):
        connection.request("GET", path, headers={"Cookie": cookie})
        response = connection.getresponse()
        assert response.status == 200
        response.read()
    connection.close()


def test_many_requests_at_once_have_the_answers_of_one_after_another(server, cookie):
    paths = [f"/api/rows?model={model}&sort=margin&matches_min={n}" for model in ("s1", "s3", "s4") for n in range(6)]

    def without_time(content):
        return {name: value for name, value in json.loads(content).items() if name != "seconds"}

    answers = {}

    def load(path):
        answers[path] = without_time(request(server, path, Cookie=cookie)[2])

    threads = [threading.Thread(target=load, args=(path,)) for path in paths]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == {path: without_time(request(server, path, Cookie=cookie)[2]) for path in paths}


def test_a_port_that_is_taken_is_named(server, full):
    with pytest.raises(OptionError, match=rf"--port {server.server_port} cannot be used .*; give another one, or 0"):
        ExplorerServer(full, server.server_port)
