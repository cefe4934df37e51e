"""What hosts tell each other, over sockets of this process: comparing, waiting, stopping, ends, and lost hosts."""

import json
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from allcnn.errors import AllcnnError, HostError, InputError, Interrupted, TrainingError
from allcnn.spread import channel as channels
from allcnn.spread.channel import Channel
from allcnn.spread.hosts import Hosts
from allcnn.spread.tunnel import free_port, open_tunnel
from allcnn.training.spread import shared


@pytest.fixture(autouse=True)
def no_process_ends(monkeypatch):
    """Here the hosts are threads: none of them may end the process that it is in."""
    monkeypatch.setattr(Channel, "_leave", lambda self: None)


@pytest.fixture
def hosts():
    port = free_port()
    return lambda index, count=2: Hosts("127.0.0.1", port, index, count)


def on_each(hosts, count, part):
    """part(channel) on every host; gives what each returned or raised."""

    def host(index):
        try:
            with shared(hosts(index, count)) as channel:
                channel.join()
                return part(channel)
        except Exception as error:
            return error

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(host, range(count)))


def test_every_host_gets_what_all_gave_in_their_order(hosts) -> None:
    given = on_each(hosts, 3, lambda channel: [channel.gather(name, channel.host * 10) for name in "ab"])
    assert given == [[[0, 10, 20], [0, 10, 20]]] * 3


@pytest.mark.parametrize("failing", [0, 1])
@pytest.mark.parametrize(
    ("error", "code"), [(TrainingError("the loss became nan.\nTry another."), 1), (Interrupted("interrupted"), 1),
                        (InputError("a wrong number.\nGive another."), 2)],
)  # fmt: skip
def test_how_the_run_ends_on_one_host_all_hear(hosts, failing, error, code) -> None:
    def part(channel):
        if channel.host == failing:
            raise error
        channel.gather("never")

    ended = on_each(hosts, 3, part)
    assert ended[failing] is error
    for host in {0, 1, 2} - {failing}:
        assert ended[host].exit_code == code
        if code == 2:
            assert str(ended[host]) == f"host {failing}: {error}"
        else:
            assert str(ended[host]) == f"host {failing} ended the run: {str(error).splitlines()[0]}"


def test_a_host_whose_connection_closes_is_lost(hosts) -> None:
    def part(channel):
        channel.advice = "\nGo on."
        channel.gather("all there")
        if channel.host == 1:
            channel._peers[0].close()
        channel.gather("never")

    ended = on_each(hosts, 3, part)
    assert isinstance(ended[0], HostError)
    assert str(ended[0]).startswith("host 1 (") and str(ended[0]).endswith("was lost: its connection closed.\nGo on.")
    assert "host 1 (" in str(ended[2])


def test_a_host_that_says_nothing_is_lost(hosts, monkeypatch) -> None:
    monkeypatch.setattr(channels, "SILENCE", 1.0)
    frozen = socket.socket()

    def freeze():
        until = time.monotonic() + 60
        while time.monotonic() < until:
            try:
                frozen.connect(("127.0.0.1", hosts(0).port))
                break
            except OSError:
                time.sleep(0.05)
        frozen.sendall(json.dumps({"host": 1, "of": 2, "name": "frozen"}).encode() + b"\n")

    threading.Thread(target=freeze, daemon=True).start()
    with pytest.raises(HostError, match=r"host 1 \(frozen\) was lost: nothing was heard of it for 1 s"):
        with shared(hosts(0)) as channel:
            channel.join()
            channel.gather("never", seconds=60)  # a host that is never lost gives another message
    frozen.close()


def test_a_failure_that_follows_from_a_lost_host_is_not_what_is_said(hosts, monkeypatch) -> None:
    monkeypatch.setattr(channels, "GRACE", 0.1)

    def part(channel):
        if channel.host == 1:
            channel._peers[0].close()
            return None
        raise ValueError("Gloo all-reduce failed: connection closed by peer")

    lost, _ = on_each(hosts, 2, part)
    assert isinstance(lost, HostError) and "was lost" in str(lost)


def test_a_wish_to_stop_reaches_host_0(hosts) -> None:
    heard = threading.Event()

    def part(channel):
        channel.on_stop = lambda host: heard.set()
        channel.gather("host 0 listens")
        channel.stop_wanted = channel.host == 1
        assert heard.wait(60)
        return channel.gather("done")

    assert on_each(hosts, 2, part) == [[None, None]] * 2


def test_nobody_at_the_address(hosts, monkeypatch) -> None:
    monkeypatch.setattr(channels, "JOIN", 0.5)
    with pytest.raises(HostError, match="host 0 did not answer at 127.0.0.1:.* within 0 s"):
        with shared(hosts(1)) as channel:
            channel.join()
    with pytest.raises(HostError, match="host 1, 2 of 3 did not come to"):
        with shared(hosts(0, 3)) as channel:
            channel.join()


def on_one(hosts, index, count, part=lambda channel: channel.gather("never")):
    """What the part of one host, told of so many hosts, raises."""
    with pytest.raises(AllcnnError) as caught, shared(hosts(index, count)) as channel:
        channel.join()
        part(channel)
    return caught.value


def test_two_hosts_of_one_number_and_two_counts_are_refused(hosts) -> None:
    for others, words in (([(1, 3), (1, 3)], "is a second host 1"), ([(1, 3), (2, 4)], "says that it is host 2 of 4")):
        with ThreadPoolExecutor(3) as pool:
            ended = list(pool.map(lambda given: on_one(hosts, *given), [(0, 3), *others]))
        assert {error.exit_code for error in ended} == {2}
        assert all(words in str(error) for error in ended)


def test_a_host_that_calls_after_a_refusal_hears_it(hosts) -> None:
    with ThreadPoolExecutor(2) as pool:
        first, refused = pool.submit(on_one, hosts, 0, 3), pool.submit(on_one, hosts, 2, 4)
        assert refused.result().exit_code == 2
        time.sleep(1)
        late = on_one(hosts, 1, 3)
    assert late.exit_code == first.result().exit_code == 2
    assert str(late) == f"host 0: {first.result()}"


def test_a_host_that_calls_after_another_failed_hears_that(hosts) -> None:
    def fail(channel):
        raise TrainingError("the loss became nan.\nTry another.")

    with ThreadPoolExecutor(2) as pool:
        first, failed = pool.submit(on_one, hosts, 0, 3), pool.submit(on_one, hosts, 1, 3, fail)
        assert isinstance(failed.result(), TrainingError)
        time.sleep(1)
        late = on_one(hosts, 2, 3)
    assert str(late) == str(first.result()) == "host 1 ended the run: the loss became nan."


def test_strangers_at_the_port_change_nothing(hosts) -> None:
    def part(channel):
        if channel.host == 0:
            for words in (b"GET / HTTP/1.1\r\n\r\n", b"x" * 5000, b"", b'{"host": "a"}\n', b"[1]\n"):
                with socket.create_connection(("127.0.0.1", hosts(0).port)) as stranger:
                    stranger.sendall(words)
        return channel.gather("done", channel.host)

    assert on_each(hosts, 2, part) == [[0, 1]] * 2


def test_a_taken_port_is_said(hosts) -> None:
    with socket.create_server(("127.0.0.1", hosts(0).port)):
        with pytest.raises(HostError, match="cannot be listened at"):
            Channel.open(hosts(0))


def test_the_near_end_of_a_tunnel_stays_open_when_host_0_is_gone(hosts) -> None:
    with socket.create_server(("127.0.0.1", 0)) as coordinator:
        channel = Channel.open(hosts(0))
        channel.coordinator_port = coordinator.getsockname()[1]
        near = socket.create_connection(("127.0.0.1", open_tunnel(hosts(1))))
        far, _ = coordinator.accept()
        near.sendall(b"\x00there")
        assert far.recv(100) == b"\x00there"
        far.sendall(b"back\xff")
        assert near.recv(100) == b"back\xff"
        far.close()
        near.settimeout(0.5)
        with pytest.raises(TimeoutError):  # not b"", the end
            near.recv(1)
        channel.close()
