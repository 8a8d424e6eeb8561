"""No URL and no address leads a webhook into a network of ours."""

import ipaddress

import pytest

from payments_core.webhooks.destination import UrlRefused, is_public, may_connect, parse_url

REFUSED = (
    # Not https.
    "http://hooks.example.com/",
    "ftp://hooks.example.com/",
    "file:///etc/passwd",
    "gopher://hooks.example.com/",
    "//hooks.example.com/",
    "hooks.example.com",
    "",
    # Credentials, and what hides a host behind them.
    "https://user@hooks.example.com/",
    "https://user:secret@hooks.example.com/",
    "https://hooks.example.com@127.0.0.1/",
    "https://hooks.example.com\\@127.0.0.1/",
    "https://hooks.example.com#@127.0.0.1/",
    # Loopback, private, link-local and metadata addresses.
    "https://127.0.0.1/",
    "https://127.1.2.3/",
    "https://10.0.0.1/",
    "https://172.16.0.1/",
    "https://192.168.1.1/",
    "https://169.254.169.254/latest/meta-data/",
    "https://100.64.0.1/",
    "https://168.63.129.16/",
    "https://0.0.0.0/",
    "https://255.255.255.255/",
    "https://224.0.0.1/",
    # The same in other notations.
    "https://2130706433/",
    "https://0x7f000001/",
    "https://0x7f.0.0.1/",
    "https://017700000001/",
    "https://0177.0.0.1/",
    "https://127.1/",
    "https://127.0.1/",
    "https://127.0.0.1./",
    "https://127.0.0.01/",
    "https://1.2.3.4.5/",
    "https://host.123/",
    "https://host.0x7f/",
    # IPv6, with IPv4 inside and with a zone.
    "https://[::1]/",
    "https://[::]/",
    "https://[::ffff:127.0.0.1]/",
    "https://[::ffff:7f00:1]/",
    "https://[::ffff:8.8.8.8]/",
    "https://[::127.0.0.1]/",
    "https://[64:ff9b::7f00:1]/",
    "https://[64:ff9b:1::a00:1]/",
    "https://[2002:7f00:1::]/",
    "https://[2001:0:7f00:1::]/",
    "https://[fe80::1]/",
    "https://[fe80::1%25eth0]/",
    "https://[fc00::1]/",
    "https://[fd00:ec2::254]/",
    "https://[fec0::1]/",
    "https://[ff02::1]/",
    "https://[2001:db8::1]/",
    "https://[::1/",
    "https://[127.0.0.1]/",
    # Names that are none on the internet.
    "https://localhost/",
    "https://payments-api/",
    "https:///path",
    "https://.example.com/",
    "https://hooks..example.com/",
    "https://hooks.example.com./",
    "https://-hooks.example.com/",
    "https://hooks.exämple.com/",
    "https://%6cocalhost/",
    "https://127。0。0。1/",
    f"https://{'a' * 64}.example.com/",
    # Ports.
    "https://hooks.example.com:80/",
    "https://hooks.example.com:22/",
    "https://hooks.example.com:5432/",
    "https://hooks.example.com:8443/",
    "https://hooks.example.com:0/",
    "https://hooks.example.com:65536/",
    "https://hooks.example.com:port/",
    # Characters that would end a header or the request line.
    "https://hooks.example.com/ x",
    "https://hooks.example.com/\r\nHost: other",
    "https://hooks.example.com/\tx",
    "https://hooks.example.com/\0",
    f"https://hooks.example.com/{'a' * 2000}",
)
ACCEPTED = (
    ("https://hooks.example.com", "hooks.example.com", "/"),
    ("https://hooks.example.com:443/a/b?c=d&e=%20", "hooks.example.com", "/a/b?c=d&e=%20"),
    ("HTTPS://Hooks.Example.COM/A", "hooks.example.com", "/A"),
    ("https://xn--exmple-cua.com/", "xn--exmple-cua.com", "/"),
    ("https://8.8.8.8/x", "8.8.8.8", "/x"),
    ("https://[2606:4700:4700::1111]/x", "2606:4700:4700::1111", "/x"),
)


@pytest.mark.parametrize("url", REFUSED)
def test_a_url_that_could_reach_us_is_refused(url: str) -> None:
    with pytest.raises(UrlRefused):
        parse_url(url)


@pytest.mark.parametrize("url", [url for url in REFUSED if "127.0.0.1/" not in url])
def test_a_developers_exception_is_for_this_machine_alone(url: str) -> None:
    try:
        destination = parse_url(url, loopback_allowed=True)
    except UrlRefused:
        return
    assert destination.loopback
    assert not may_connect(destination, ipaddress.ip_address("10.0.0.1"))
    assert not may_connect(destination, ipaddress.ip_address("8.8.8.8"))


@pytest.mark.parametrize(("url", "host", "target"), ACCEPTED)
def test_a_url_on_the_internet_is_taken_apart(url: str, host: str, target: str) -> None:
    destination = parse_url(url)
    assert (destination.scheme, destination.host, destination.port) == ("https", host, 443)
    assert destination.target == target
    assert destination.authority.strip("[]") == host


@pytest.mark.parametrize("url", ["http://127.0.0.1:4000/hook", "http://localhost:4000/hook"])
def test_a_receiver_on_this_machine_is_allowed_where_the_setting_says_so(url: str) -> None:
    destination = parse_url(url, loopback_allowed=True)
    assert destination.loopback
    assert destination.port == 4000
    assert may_connect(destination, ipaddress.ip_address("127.0.0.1"))
    with pytest.raises(UrlRefused):
        parse_url(url)


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "10.1.2.3", "172.31.255.255", "192.168.0.1", "169.254.169.254"),
        *("100.64.0.1", "100.127.255.255", "0.0.0.0", "192.0.0.1", "198.18.0.1", "240.0.0.1"),
        *("224.0.0.1", "255.255.255.255", "168.63.129.16", "192.0.2.1", "192.88.99.1"),
        *("::", "::1", "::ffff:8.8.8.8", "::ffff:127.0.0.1", "64:ff9b::808:808", "fe80::1"),
        *("64:ff9b:1::1", "100::1", "2001::1", "2002:808:808::1", "fc00::1", "fdff::1"),
        *("fec0::1", "ff0e::1", "2001:db8::1", "3fff::1", "5f00::1", "4000::1"),
    ],
)
def test_an_address_that_is_not_one_host_on_the_internet_is_refused(address: str) -> None:
    assert not is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", ["8.8.8.8", "1.1.1.1", "2606:4700:4700::1111", "2a00::1"])
def test_an_address_on_the_internet_is_public(address: str) -> None:
    assert is_public(ipaddress.ip_address(address))
    assert may_connect(parse_url("https://hooks.example.com"), ipaddress.ip_address(address))


@pytest.mark.parametrize("address", ["127.0.0.1", "10.0.0.1", "169.254.169.254", "::1"])
def test_a_public_name_that_resolves_to_us_gets_no_connection(address: str) -> None:
    destination = parse_url("https://hooks.example.com", loopback_allowed=True)
    assert not may_connect(destination, ipaddress.ip_address(address))
