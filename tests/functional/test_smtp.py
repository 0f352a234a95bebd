# SPDX-License-Identifier: GPL-2.0-or-later
"""
mini-SMTP (RFC 5321 and the extensions it announces): banner mode, sink mode,
and a reader that ends a message at CRLF.CRLF and at nothing else.
"""

import contextlib
import os
import random
import re
import select
import smtplib
import socket
import subprocess
import time
from email.message import EmailMessage
from types import SimpleNamespace

import pytest

from harness import (PATIENCE, Daemon, Smtp, free_port, in_parallel, needs,
                     receive_all, reset, smtp, tcp, unharmed, unix_stream)

HOSTNAME = "mx.example.org"
LIMIT = 100_000     # max_message of the sink
ENHANCED = re.compile(r"[245]\.\d{1,3}\.\d{1,3} ?")


@pytest.fixture(scope="module")
def post(module_work):
    ports = {name: free_port() for name in ("sink", "banner", "plain")}
    services = [
        {"name": "sink", "protocol": "smtp",
         "listen": [f"tcp://*:{ports['sink']}",
                    f"unix://{module_work}/smtp.sock"],
         "smtp": {"hostname": HOSTNAME, "mode": "sink", "max_message": LIMIT},
         "limits": {"connections": 1000, "per_source": 1000}},
        {"name": "banner", "protocol": "smtp",
         "listen": f"tcp://*:{ports['banner']}",
         "smtp": {"hostname": HOSTNAME, "mode": "banner"}},
        {"name": "plain", "protocol": "smtp",
         "listen": f"tcp://127.0.0.1:{ports['plain']}"},
    ]
    with Daemon(services=services, work=module_work, workers=2) as daemon:
        yield SimpleNamespace(daemon=daemon, work=module_work, **ports)


@pytest.fixture
def mail(post):
    with unharmed(post.daemon):
        yield post


@pytest.fixture
def sink(mail):
    """A client of the sink that has said EHLO."""
    with smtp(mail.sink) as client:
        assert client.code("EHLO client.example") == 250
        yield client


def begin(client, sender="a@example.org", rcpt="b@example.org"):
    assert client.code(f"MAIL FROM:<{sender}>") == 250
    assert client.code(f"RCPT TO:<{rcpt}>") == 250


def deliver(client, text=b"Subject: x\r\n\r\nhello\r\n"):
    begin(client)
    assert client.code("DATA") == 354
    client.send(text + b".\r\n")
    return client.reply()


def keywords(lines):
    return {line.split()[0].upper(): line.split()[1:] for line in lines[1:]}


# ---------------------------------------------------------------- both modes

@pytest.fixture(params=["sink", "banner"])
def client(mail, request):
    with smtp(getattr(mail, request.param)) as client:
        yield client


def test_greeting(client):
    code, lines = client.greeting
    assert code == 220
    assert lines[0].split()[0] == HOSTNAME


def test_helo(client):
    code, lines = client.ask("HELO client.example")
    assert code == 250 and len(lines) == 1
    assert lines[0].split()[0] == HOSTNAME


def test_ehlo(client):
    code, lines = client.ask("EHLO client.example")
    assert code == 250
    assert lines[0].split()[0] == HOSTNAME
    for line in lines[1:]:
        assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9-]*( [\x21-\x7e]+)*", line)


@pytest.mark.parametrize("argument", [
    "client.example", "[127.0.0.1]", "[IPv6:::1]", "localhost", "x",
    "a-b.example", "UPPER.EXAMPLE"])
def test_ehlo_arguments(client, argument):
    assert client.code(f"EHLO {argument}") == 250
    assert client.code(f"HELO {argument}") == 250


@pytest.mark.parametrize("line", ["EHLO", "EHLO ", "HELO", "HELO  "])
def test_ehlo_without_an_argument(client, line):
    assert client.code(line) == 501


def test_small_commands(client):
    assert client.code("EHLO client.example") == 250
    assert client.code("NOOP") == 250
    assert client.code("NOOP with an argument") == 250
    assert client.code("RSET") == 250
    assert client.code("VRFY postmaster") in (252, 502, 550)
    assert client.code("HELP") in (211, 214)
    assert client.code("HELP MAIL") in (211, 214, 504)
    assert client.code("EXPN list") in (252, 502, 550)
    assert client.code("NOOP") == 250


def test_commands_before_ehlo(client):
    for line in ("NOOP", "RSET", "HELP", "VRFY x"):
        assert client.code(line) in (250, 252, 211, 214, 502, 550, 503), line
    assert client.code("QUIT") == 221
    assert client.closed()


def test_case_of_commands(client):
    assert client.code("ehlo client.example") == 250
    assert client.code("NoOp") == 250
    assert client.code("rSET") == 250
    assert client.code("qUiT") == 221
    assert client.closed()


def test_quit(client):
    client.send(b"QUIT\r\n")
    code, lines = client.reply()
    assert code == 221
    assert client.closed()


def test_nothing_after_quit_is_answered(client):
    client.send(b"QUIT\r\nNOOP\r\nNOOP\r\n")
    assert client.reply()[0] == 221
    assert client.closed()


@pytest.mark.parametrize("line", [
    "FOO", "FOO bar", "MAILFROM:<a@b>", "XCLIENT ADDR=1.2.3.4", "NOOPE",
    "EHLOx", "\x16\x03\x01", "~" * 50, "-", "250 ok"])
def test_unknown_commands(client, line):
    assert client.code("EHLO client.example") == 250
    code, lines = client.ask(line)
    assert code == 500, lines
    assert client.code("NOOP") == 250


@pytest.mark.parametrize("line", [
    "STARTTLS", "AUTH PLAIN dGVzdA==", "AUTH LOGIN", "ETRN example.org",
    "TURN", "BDAT 5 LAST", "SEND FROM:<a@b.example>",
    "SOML FROM:<a@b.example>", "SAML FROM:<a@b.example>"])
def test_commands_that_are_not_offered(client, line):
    code, lines = client.ask("EHLO client.example")
    assert line.split()[0] not in keywords(lines)
    assert client.code(line) in (500, 502, 503, 504)
    if line.startswith("BDAT"):
        return      # what follows it is a message: the session may end here
    assert client.code("NOOP") == 250


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "CONNECT"])
def test_browsers_get_nothing_done(client, method):
    # A web page can make a browser talk to us: its body is no command.
    client.send(f"{method} / HTTP/1.1\r\nHost: x\r\n\r\nEHLO x\r\n"
                "MAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.org>\r\n"
                "QUIT\r\n".encode())
    codes = [code for code, _ in client.replies_to_end()]
    assert codes[0] >= 500 or codes == [421], codes
    assert len(codes) == 1 or codes[-1] in (221, 421), codes


def test_reply_never_repeats_control_bytes(client):
    client.send(b"FOO \x1b[31m\x07\x9b\r\n")
    code, lines = client.reply()
    assert code in (500, 501)
    assert re.fullmatch(r"[\t\x20-\x7e]*", "".join(lines)), lines


def test_arguments_where_none_belong(client):
    assert client.code("EHLO client.example") == 250
    for line in ("RSET now", "QUIT now", "DATA now"):
        assert client.code(line) in (501, 503), line
    assert client.code("NOOP") == 250


def test_trailing_space_is_tolerated(client):
    # RFC 5321, 4.1.1: trailing white space before the CRLF is tolerated.
    assert client.code("EHLO client.example ") == 250
    assert client.code("NOOP ") == 250
    assert client.code("RSET  ") == 250


@pytest.mark.parametrize("line", [b"NOOP \0", b"NO\0OP", b"\0", b"NOOP\x80",
                                  b"EHLO a\0b", b"EHLO \xff\xfe"])
def test_odd_bytes_in_commands(client, line):
    client.send(line + b"\r\n")
    code, _ = client.reply()
    assert 500 <= code < 600 or code in (250, 421), code


def test_command_line_of_512_octets(client):
    line = "NOOP " + "x" * (512 - 2 - 5)
    assert client.code(line) == 250


@pytest.mark.parametrize("size", [1100, 5000, 100_000, 2_000_000])
def test_command_lines_that_are_too_long(mail, size):
    for port in (mail.sink, mail.banner):
        with smtp(port) as client:
            assert client.code("EHLO client.example") == 250
            with contextlib.suppress(OSError):
                client.send(b"NOOP " + b"x" * size + b"\r\nNOOP\r\n")
            code, _ = client.reply()
            assert code in (500, 421)
            rest = []
            if code == 500:
                # One reply for the long line, then the next command's.
                with contextlib.suppress(EOFError, ConnectionResetError):
                    rest.append(client.reply()[0])
            assert rest in ([250], [421], []), rest


def test_an_endless_line_is_cut(client):
    sent = 0
    with contextlib.suppress(OSError):
        while sent < 256 << 20:
            client.send(b"x" * 65536)
            sent += 65536
    assert sent < 256 << 20, "a line without end is swallowed"
    for code, _ in client.replies_to_end():
        assert code in (500, 421)


def test_too_many_errors(mail):
    for port in (mail.sink, mail.banner):
        with smtp(port) as client:
            codes = []
            with contextlib.suppress(EOFError, OSError):
                for _ in range(2000):
                    codes.append(client.code("FOO"))
                    if codes[-1] == 421:
                        break
            assert codes[-1] == 421, codes[-5:]
            assert set(codes[:-1]) <= {500}
            assert client.closed()


def test_a_few_errors_are_forgiven(client):
    assert client.code("EHLO client.example") == 250
    for _ in range(4):
        assert client.code("FOO") == 500
    assert client.code("NOOP") == 250


def test_split_at_every_byte(mail):
    dialogue = [b"EHLO client.example", b"NOOP", b"VRFY someone", b"RSET",
                b"HELP", b"QUIT"]
    for port in (mail.sink, mail.banner):
        with smtp(port) as client:
            for line in dialogue:
                for byte in line + b"\r\n":
                    client.send(bytes([byte]))
                assert client.reply()[0] // 100 in (2, 5)
            assert client.closed()


def test_random_splits_give_the_same_replies(mail):
    text = (b"EHLO client.example\r\nMAIL FROM:<a@example.org>\r\n"
            b"RCPT TO:<b@example.org>\r\nNOOP\r\nFOO\r\nRSET\r\n"
            b"VRFY x\r\nQUIT\r\n")
    order = random.Random(11)

    def talk(port, cuts):
        with tcp(port) as sock:
            client = Smtp(sock)
            last = 0
            for cut in [*cuts, len(text)]:
                sock.sendall(text[last:cut])
                last = cut
                time.sleep(0.0005)
            return client.replies_to_end()
    for port in (mail.sink, mail.banner):
        whole = talk(port, [])
        assert whole[-1][0] == 221
        for _ in range(25):
            cuts = sorted(order.sample(range(1, len(text)),
                                       order.randint(1, 20)))
            assert talk(port, cuts) == whole


def test_bare_line_feeds_in_commands(client):
    # Either refused or taken for white space, never for two commands' end.
    client.send(b"NOOP\nNOOP\nNOOP\r\n")
    code, _ = client.reply()
    assert code in (500, 501, 421, 521, 554), code
    with contextlib.suppress(EOFError, ConnectionResetError, OSError):
        client.send(b"QUIT\r\n")
        assert client.reply()[0] in (221, 421)


def test_early_talker_does_no_harm(mail):
    for port in (mail.sink, mail.banner):
        with tcp(port) as sock:
            sock.sendall(b"EHLO client.example\r\nQUIT\r\n")
            client = Smtp(sock)
            codes = [code for code, _ in client.replies_to_end()]
            assert codes in ([250, 221], [554], [421], [521])


def test_half_close(client):
    client.send(b"EHLO client.example\r\nNOOP\r\n")
    client.sock.shutdown(socket.SHUT_WR)
    codes = [code for code, _ in client.replies_to_end()]
    assert codes[:2] == [250, 250]
    assert codes[2:] in ([], [421])


def test_resets_do_no_harm(mail):
    for port in (mail.sink, mail.banner):
        for text in (b"", b"EH", b"EHLO x\r\n", b"EHLO x\r\nMAIL FROM:<a@b.c>"
                     b"\r\nRCPT TO:<a@b.c>\r\nDATA\r\nxyz"):
            for _ in range(10):
                sock = tcp(port)
                sock.sendall(text)
                reset(sock)
        with smtp(port) as client:
            assert client.code("NOOP") == 250


def test_client_resets_at_every_byte_of_a_reply(mail):
    text = b"EHLO client.example\r\nHELP\r\nQUIT\r\n"
    with tcp(mail.sink) as sock:
        sock.sendall(text)
        size = len(receive_all(sock))
    for count in range(0, size, 2):
        sock = tcp(mail.sink)
        sock.sendall(text)
        left = count
        while left > 0:
            part = sock.recv(left)
            assert part
            left -= len(part)
        reset(sock)
    with smtp(mail.sink) as client:
        assert client.code("NOOP") == 250


# ---------------------------------------------------------------- banner mode

@pytest.mark.parametrize("first", ["MAIL FROM:<a@example.org>", "MAIL FROM:<>",
                                   "mail from:<a@example.org> SIZE=5"])
def test_banner_refuses_mail_politely(mail, first):
    with smtp(mail.banner) as client:
        assert client.code("EHLO client.example") == 250
        for _ in range(2):
            code, lines = client.ask(first)
            assert 500 <= code < 560, (code, lines)
            assert code not in (500, 501), "it is the mail that is refused"
            assert lines[0].strip()
        assert client.code("RCPT TO:<b@example.org>") in (503, 550, 554, 521)
        assert client.code("DATA") in (503, 550, 554, 521)
        assert client.code("NOOP") == 250
        assert client.code("QUIT") == 221
        assert client.closed()


def test_banner_with_smtplib(mail):
    with smtplib.SMTP("127.0.0.1", mail.banner, timeout=PATIENCE) as client:
        assert client.ehlo()[0] == 250
        assert client.noop()[0] == 250
        with pytest.raises(smtplib.SMTPException) as refused:
            client.sendmail("a@example.org", ["b@example.org"], "x")
        assert b"5" in str(refused.value).encode()


def test_defaults_need_no_option(mail):
    with smtp(mail.plain) as client:
        code, lines = client.greeting
        assert code == 220 and lines[0].split()[0]
        assert client.code("EHLO client.example") == 250
        # What does not say sink swallows no mail.
        assert client.code("MAIL FROM:<a@example.org>") >= 500


# ---------------------------------------------------------------- sink mode

def test_announced_extensions(mail):
    with smtp(mail.sink) as client:
        words = keywords(client.ask("EHLO client.example")[1])
    assert {"PIPELINING", "SIZE", "8BITMIME", "SMTPUTF8",
            "ENHANCEDSTATUSCODES"} <= set(words)
    assert words["SIZE"] == [str(LIMIT)]


def test_helo_clients_can_send_too(mail):
    with smtp(mail.sink) as client:
        assert client.code("HELO client.example") == 250
        assert deliver(client)[0] == 250


def test_a_message(sink):
    code, lines = deliver(sink)
    assert code == 250
    assert sink.code("QUIT") == 221
    assert sink.closed()


def test_messages_in_a_row(sink):
    for number in range(20):
        text = f"Subject: {number}\r\n\r\n".encode() + b"line\r\n" * number
        assert deliver(sink, text)[0] == 250


def test_many_recipients(sink):
    assert sink.code("MAIL FROM:<a@example.org>") == 250
    for number in range(100):       # RFC 5321, 4.5.3.1.8: at least 100
        assert sink.code(f"RCPT TO:<user{number}@example.org>") == 250
    assert sink.code("DATA") == 354
    sink.send(b"x\r\n.\r\n")
    assert sink.reply()[0] == 250


def test_too_many_recipients(sink):
    assert sink.code("MAIL FROM:<a@example.org>") == 250
    for number in range(20_000):
        code = sink.code(f"RCPT TO:<user{number}@example.org>")
        if code != 250:
            break
    assert code == 452, f"{code} at recipient {number}"
    assert number >= 100
    # Those before it still get their message.
    assert sink.code("DATA") == 354
    sink.send(b"x\r\n.\r\n")
    assert sink.reply()[0] == 250


def test_order_of_commands(mail):
    with smtp(mail.sink) as client:
        assert client.code("MAIL FROM:<a@example.org>") == 503
        assert client.code("EHLO client.example") == 250
        assert client.code("RCPT TO:<b@example.org>") == 503
        assert client.code("DATA") == 503
        assert client.code("MAIL FROM:<a@example.org>") == 250
        assert client.code("MAIL FROM:<a@example.org>") == 503
        assert client.code("DATA") in (503, 554)
        assert client.code("RCPT TO:<b@example.org>") == 250
        assert client.code("RSET") == 250
        assert client.code("RCPT TO:<b@example.org>") == 503
        begin(client)
        # EHLO in the middle starts over (RFC 5321, 4.1.4).
        assert client.code("EHLO client.example") == 250
        assert client.code("DATA") == 503
        assert deliver(client)[0] == 250
        assert client.code("DATA") == 503


@pytest.mark.parametrize("sender", [
    "<>", "<a@example.org>", "<A.B-c+d_e@example.org>",
    '<"a b"@example.org>', '<"a\\"b"@example.org>', "<a@[127.0.0.1]>",
    "<a@[IPv6:::1]>", "<@relay.example,@other.example:a@example.org>",
    "<a@b>", "<!#$%&'*+-/=?^_`{|}~@example.org>",
    "<" + "x" * 64 + "@example.org>"])
def test_good_senders(sink, sender):
    assert sink.code(f"MAIL FROM:{sender}") == 250
    assert sink.code("RSET") == 250


@pytest.mark.parametrize("rcpt", [
    "<postmaster>", "<Postmaster>", "<postmaster@example.org>",
    "<@relay.example:b@example.org>", '<"b c"@example.org>',
    "<b@[192.0.2.1]>"])
def test_good_recipients(sink, rcpt):
    assert sink.code("MAIL FROM:<>") == 250
    assert sink.code(f"RCPT TO:{rcpt}") == 250


@pytest.mark.parametrize("line", [
    "MAIL", "MAIL FROM", "MAIL FROM:", "MAIL TO:<a@example.org>",
    "MAIL FROM a@example.org", "MAIL FROM:<a@example.org",
    "MAIL FROM:a@example.org>", "MAIL FROM:<a@>", "MAIL FROM:<@example.org>",
    "MAIL FROM:<a@@example.org>", "MAIL FROM:<a b@example.org>",
    "MAIL FROM:<a..b@example.org>", "MAIL FROM:<.a@example.org>",
    "MAIL FROM:<a.@example.org>", "MAIL FROM:<a@example..org>",
    "MAIL FROM:<a@-example.org>", "MAIL FROM:<a@.example.org>",
    "MAIL FROM:<a@[127.0.0.1>", "MAIL FROM:<a@[300.0.0.1]>",
    "MAIL FROM:<a@[nonsense]>", "MAIL FROM:<<a@example.org>>",
    'MAIL FROM:<"a@example.org>', "MAIL FROM:<a\x01b@example.org>",
    "MAIL FROM:<a@example.org>x", "MAIL FROM:<a>",
    "MAIL FROM:<a@exa mple.org>", "MAIL FROM:<;rm -rf/@x y>",
    "MAIL FROM:<@relay.example,a@example.org>"])
def test_bad_senders(sink, line):
    code, lines = sink.ask(line)
    assert code in (501, 553, 555), (line, code, lines)
    # And no transaction has begun.
    assert sink.code("RCPT TO:<b@example.org>") == 503


@pytest.mark.parametrize("line", [
    "RCPT", "RCPT TO", "RCPT TO:", "RCPT TO:<>", "RCPT FROM:<a@example.org>",
    "RCPT TO:b@example.org>", "RCPT TO:<b@>", "RCPT TO:<nobody>",
    "RCPT TO:<b@@example.org>", "RCPT TO:<b c@example.org>"])
def test_bad_recipients(sink, line):
    assert sink.code("MAIL FROM:<a@example.org>") == 250
    code, lines = sink.ask(line)
    assert code in (501, 550, 553), (line, code, lines)
    assert sink.code("DATA") in (503, 554)


@pytest.mark.parametrize("parameters", [
    "BODY=8BITMIME", "BODY=7BIT", "body=8bitmime", "SIZE=1000", "SIZE=0",
    "SMTPUTF8", "SIZE=1000 BODY=8BITMIME SMTPUTF8"])
def test_good_parameters(sink, parameters):
    assert sink.code(f"MAIL FROM:<a@example.org> {parameters}") == 250


@pytest.mark.parametrize("parameters, codes", [
    ("FOO=BAR", (555,)), ("FOO", (555,)), ("AUTH=<>", (555,)),
    ("RET=FULL", (555,)), ("BODY=NONSENSE", (501, 555)),
    ("BODY=BINARYMIME", (501, 504, 555)), ("BODY=", (501, 555)),
    ("BODY", (501, 555)), ("SIZE=", (501,)), ("SIZE=x", (501,)),
    ("SIZE=-1", (501,)), ("SIZE", (501,)), ("SMTPUTF8=YES", (501, 555)),
    ("SIZE=1 SIZE=2", (501, 555)), ("=x", (501, 555)), ("SIZE=1=2", (501,))])
def test_bad_parameters(sink, parameters, codes):
    assert sink.code(f"MAIL FROM:<a@example.org> {parameters}") in codes
    assert sink.code("RCPT TO:<b@example.org>") == 503


@pytest.mark.parametrize("parameters", ["FOO=BAR", "NOTIFY=NEVER",
                                        "ORCPT=rfc822;x@y"])
def test_bad_parameters_of_a_recipient(sink, parameters):
    assert sink.code("MAIL FROM:<a@example.org>") == 250
    assert sink.code(f"RCPT TO:<b@example.org> {parameters}") == 555


@pytest.mark.parametrize("size", [LIMIT + 1, 10 ** 9, 2 ** 63, 2 ** 64 + 5,
                                  10 ** 18])
def test_size_announced_too_large(sink, size):
    assert sink.code(f"MAIL FROM:<a@example.org> SIZE={size}") in \
        ((552,) if size < 2 ** 63 else (552, 501))
    assert sink.code(f"MAIL FROM:<a@example.org> SIZE={LIMIT}") == 250


def test_message_too_large(sink):
    begin(sink)
    assert sink.code("DATA") == 354
    line = b"x" * 78 + b"\r\n"
    sink.send(line * (LIMIT // 80 + 100) + b".\r\n")
    assert sink.reply()[0] == 552
    assert deliver(sink)[0] == 250


def test_message_of_exactly_the_limit(sink):
    line = b"x" * 98 + b"\r\n"
    assert LIMIT % len(line) == 0
    assert deliver(sink, line * (LIMIT // len(line)))[0] == 250


def test_message_hugely_too_large(sink):
    begin(sink)
    assert sink.code("DATA") == 354
    line = b"x" * 998 + b"\r\n"
    with contextlib.suppress(OSError):
        for _ in range(40_000):
            sink.send(line)
        sink.send(b".\r\n")
    assert sink.reply()[0] in (552, 421)


def test_8bit_and_utf8(sink):
    assert sink.code("MAIL FROM:<ä@exämple.org> SMTPUTF8 BODY=8BITMIME") == 250
    assert sink.code("RCPT TO:<ü@exämple.org>") == 250
    assert sink.code("DATA") == 354
    sink.send("Subject: ä\r\n\r\nsnow ☃\r\n.\r\n".encode())
    assert sink.reply()[0] == 250


def test_utf8_address_without_smtputf8(sink):
    assert sink.code("MAIL FROM:<ä@example.org>") in (501, 550, 553)
    assert sink.code("MAIL FROM:<a@example.org>") == 250
    assert sink.code("RCPT TO:<ä@example.org>") in (501, 550, 553)


def test_broken_utf8_with_smtputf8(sink):
    for address in (b"\xff@example.org", b"\xc3@example.org",
                    b"\xc0\xae@example.org", b"\xed\xa0\x80@example.org",
                    b"a@\xf8\x88\x80\x80\x80"):
        code, _ = sink.ask(b"MAIL FROM:<" + address + b"> SMTPUTF8")
        assert code in (500, 501, 553), address


def test_enhanced_status_codes(sink):
    # RFC 2034: on every 2xx, 4xx, 5xx but the greeting and HELO, EHLO.
    dialogue = ["NOOP", "RSET", "VRFY x", "FOO", "MAIL", "RCPT TO:<b@c.example>",
                "DATA", "MAIL FROM:<a@example.org> FOO=1",
                f"MAIL FROM:<a@example.org> SIZE={LIMIT + 1}",
                "MAIL FROM:<a@example.org>", "MAIL FROM:<a@example.org>",
                "RCPT TO:<b@example.org>", "RCPT TO:<>", "EXPN x"]
    for line in dialogue:
        code, lines = sink.ask(line)
        for text in lines:
            assert ENHANCED.match(text), (line, code, text)
            assert text[0] == str(code)[0], (line, code, text)
    code, lines = sink.ask("DATA")
    assert code == 354 and not ENHANCED.match(lines[0])
    sink.send(b"x\r\n.\r\n")
    code, lines = sink.reply()
    assert code == 250 and lines[0].startswith("2.")
    code, lines = sink.ask("QUIT")
    assert code == 221 and lines[0].startswith("2.")


# ---------------------------------------------------------------- pipelining

def test_pipelining(sink):
    sink.send(b"MAIL FROM:<a@example.org>\r\nRCPT TO:<b@example.org>\r\n"
              b"RCPT TO:<c@example.org>\r\nDATA\r\n")
    assert [sink.reply()[0] for _ in range(4)] == [250, 250, 250, 354]
    sink.send(b"hello\r\n.\r\nMAIL FROM:<a@example.org>\r\n"
              b"RCPT TO:<b@example.org>\r\nDATA\r\n")
    assert [sink.reply()[0] for _ in range(4)] == [250, 250, 250, 354]
    sink.send(b".\r\nQUIT\r\n")
    assert [sink.reply()[0] for _ in range(2)] == [250, 221]
    assert sink.closed()


def test_pipelining_with_refusals(sink):
    sink.send(b"MAIL FROM:<>\r\nRCPT TO:<>\r\nRCPT TO:<b@example.org>\r\n"
              b"FOO\r\nNOOP\r\nDATA\r\n")
    codes = [sink.reply()[0] for _ in range(6)]
    assert codes[0] == 250 and codes[1] in (501, 550, 553)
    assert codes[2:] == [250, 500, 250, 354]
    sink.send(b".\r\n")
    assert sink.reply()[0] == 250


def test_pipelining_a_thousand_commands(sink):
    sink.send(b"NOOP\r\n" * 1000)
    for _ in range(1000):
        assert sink.reply()[0] == 250


def test_pipelining_without_reading_is_bounded(mail):
    with smtp(mail.sink) as client:
        client.sock.setblocking(False)
        sent = quiet = 0
        block = b"HELP\r\n" * 10_000
        while quiet < 10:
            try:
                sent += client.sock.send(block)
                quiet = 0
            except BlockingIOError:
                quiet += 1
                time.sleep(0.05)
            except OSError:
                break
            assert sent < 128 << 20
    with smtp(mail.sink) as client:
        assert client.code("NOOP") == 250


def test_data_sent_before_354_is_never_taken_for_commands(mail):
    with smtp(mail.sink) as client:
        client.send(b"EHLO client.example\r\n")
        client.reply()
        begin(client)
        client.send(b"DATA\r\nVRFY inside\r\nVRFY inside\r\n.\r\nQUIT\r\n")
        codes = [code for code, _ in client.replies_to_end()]
    assert codes.count(252) == 0, codes
    assert codes in ([354, 250, 221], [354, 421], [354, 554, 221],
                     [354, 521], [503, 421], [503], [554], [421], [521],
                     [354], [354, 554], [354, 550, 221], [354, 503, 221]), \
        codes


# ---------------------------------------------------------------- the end of a message

def test_dot_stuffing(sink):
    for text in (b"..\r\n", b"..text\r\n", b". \r\n", b".x\r\n", b"x.\r\n",
                 b"...\r\n...\r\n", b"\r\n..\r\n\r\n"):
        assert deliver(sink, b"Subject: x\r\n\r\n" + text)[0] == 250, text
        assert sink.code("NOOP") == 250


def test_empty_message(sink):
    begin(sink)
    assert sink.code("DATA") == 354
    sink.send(b".\r\n")
    assert sink.reply()[0] == 250
    assert sink.code("NOOP") == 250


SMUGGLE = b"MAIL FROM:<evil@example.org>\r\nRCPT TO:<x@example.org>\r\nDATA\r\n"

# What some server once took for CRLF.CRLF (CVE-2023-51764, -51765, -51766).
FALSE_ENDS = {
    "lf-dot-lf": b"\n.\n",
    "lf-dot-crlf": b"\n.\r\n",
    "crlf-dot-lf": b"\r\n.\n",
    "crlf-dot-cr": b"\r\n.\r",
    "cr-dot-cr": b"\r.\r",
    "cr-dot-crlf": b"\r.\r\n",
    "cr-dot-lf": b"\r.\n",
    "lf-dot-cr": b"\n.\r",
    "lf-dot-cr-crlf": b"\n.\r\r\n",
    "crlf-dot-cr-crlf": b"\r\n.\r\r\n",
    "cr-crlf-dot-crlf": b"\r\r\n.\r\n",
    "lf-lf-dot-lf": b"\n\n.\n",
    "crlf-nul-dot-crlf": b"\r\n\0.\r\n",
    "crlf-dot-nul-crlf": b"\r\n.\0\r\n",
    "crlf-dot-space-crlf": b"\r\n. \r\n",
    "crlf-space-dot-crlf": b"\r\n .\r\n",
    "crlf-dot-dot-crlf": b"\r\n..\r\n",
    "vt-dot-vt": b"\x0b.\x0b",
    "ff-dot-ff": b"\x0c.\x0c",
    "nel-dot-nel": "\u0085.\u0085".encode(),
    "ls-dot-ls": "\u2028.\u2028".encode(),
}
# These hold a bare CR or LF (or NUL): they are refused, not only ignored.
HARMLESS = {"crlf-dot-space-crlf", "crlf-space-dot-crlf", "crlf-dot-dot-crlf",
            "vt-dot-vt", "ff-dot-ff", "nel-dot-nel", "ls-dot-ls",
            "crlf-nul-dot-crlf", "crlf-dot-nul-crlf"}


@pytest.mark.parametrize("bytewise", [False, True])
@pytest.mark.parametrize("name", FALSE_ENDS)
def test_smuggling(mail, name, bytewise):
    with smtp(mail.sink) as client:
        assert client.code("EHLO client.example") == 250
        begin(client)
        assert client.code("DATA") == 354
        text = (b"Subject: x\r\n\r\nhello" + FALSE_ENDS[name] + SMUGGLE
                + b"smuggled\r\n.\r\n" + b"QUIT\r\n")
        with contextlib.suppress(OSError):
            if bytewise:
                for byte in text:
                    client.send(bytes([byte]))
            else:
                client.send(text)
        codes = [code for code, _ in client.replies_to_end()]
    # One message, one verdict; a second 250 or 354 would be the smuggled one.
    assert 354 not in codes, codes
    if name in HARMLESS:
        assert codes in ([250, 221], [554, 221], [550, 221], [500, 221],
                         [521], [554], [421], [501, 221]), codes
    else:
        assert codes and codes[0] >= 500 or codes == [421], codes
        assert codes[1:] in ([], [221], [421]), codes
        assert 250 not in codes, codes


def test_bare_lf_and_cr_in_a_message(mail):
    for text in (b"one\ntwo\r\n", b"one\rtwo\r\n", b"\n\r\n", b"one\r\r\n",
                 b"\r\n\r\r\n"):
        with smtp(mail.sink) as client:
            assert client.code("EHLO client.example") == 250
            begin(client)
            assert client.code("DATA") == 354
            with contextlib.suppress(OSError):
                client.send(text + b".\r\n")
            code, _ = client.reply()
            assert code >= 500 or code == 421, text


def test_message_split_at_every_byte(sink):
    for text in (b"hello\r\n.\r\n", b"..\r\n.\r\n", b".\r\n",
                 b"a\r\n..b\r\n...\r\n.\r\n"):
        begin(sink)
        assert sink.code("DATA") == 354
        for byte in text:
            sink.send(bytes([byte]))
            time.sleep(0.001)
        assert sink.reply()[0] == 250
        for cut in range(1, len(text)):
            begin(sink)
            assert sink.code("DATA") == 354
            sink.send(text[:cut])
            time.sleep(0.002)
            sink.send(text[cut:])
            assert sink.reply()[0] == 250
            assert sink.code("NOOP") == 250


def test_text_lines(sink):
    # RFC 5321, 4.5.3.1.6: 1000 octets with CRLF must be taken.
    assert deliver(sink, b"x" * 998 + b"\r\n")[0] == 250
    assert deliver(sink, b"." + b"x" * 998 + b"\r\n")[0] == 250
    begin(sink)
    assert sink.code("DATA") == 354
    sink.send(b"x" * 50_000 + b"\r\n.\r\n")
    assert sink.reply()[0] in (250, 500, 501, 552, 554)
    assert sink.code("NOOP") == 250


def test_eof_inside_a_message(mail):
    with smtp(mail.sink) as client:
        assert client.code("EHLO client.example") == 250
        begin(client)
        assert client.code("DATA") == 354
        client.send(b"half a message\r\n")
        client.sock.shutdown(socket.SHUT_WR)
        for code, _ in client.replies_to_end():
            assert code >= 400, "half a message was accepted"


# ---------------------------------------------------------------- time, refusal, load

@pytest.fixture
def hasty(daemon):
    port = free_port()
    daemon(services=[{
        "name": "mail", "protocol": "smtp",
        "listen": f"tcp://127.0.0.1:{port}",
        "smtp": {"hostname": HOSTNAME, "mode": "sink"},
        "timeouts": {"first_byte": "500ms", "idle": "500ms", "total": "4s"}}])
    return port


@pytest.mark.parametrize("lines", [
    [], ["EHLO client.example"],
    ["EHLO client.example", "MAIL FROM:<a@example.org>"],
    ["EHLO client.example", "MAIL FROM:<>", "RCPT TO:<b@example.org>",
     "DATA"]])
def test_idle_clients_get_421(hasty, lines):
    with smtp(hasty) as client:
        for line in lines:
            assert client.code(line) < 400
        code, texts = client.reply()
        assert code == 421
        assert client.closed()


def test_half_a_command_gets_421(hasty):
    with smtp(hasty) as client:
        client.send(b"EHLO cl")
        assert client.reply()[0] == 421
        assert client.closed()


def test_a_dribbler_is_cut(hasty):
    with smtp(hasty) as client:
        end = time.monotonic() + 20
        client.sock.settimeout(0.2)
        with contextlib.suppress(OSError, EOFError):
            while time.monotonic() < end:
                client.send(b"x")
                with contextlib.suppress(TimeoutError):
                    assert client.reply()[0] in (421, 500)
                    break
        assert time.monotonic() < end, "never cut"


def test_many_sessions_at_once(mail):
    def job():
        with smtp(mail.sink) as client:
            assert client.code("EHLO client.example") == 250
            for _ in range(5):
                assert deliver(client, b"Subject: x\r\n\r\n"
                               + b"hello\r\n" * 500)[0] == 250
            assert client.code("QUIT") == 221
            assert client.closed()
    in_parallel([job] * 30, 40)


def test_over_a_unix_socket(mail):
    with Smtp(unix_stream(mail.work / "smtp.sock")) as client:
        assert client.code("EHLO client.example") == 250
        assert deliver(client)[0] == 250


def test_over_ipv6(mail):
    with smtp(mail.sink, host="::1") as client:
        assert client.code("EHLO [IPv6:::1]") == 250
        assert deliver(client)[0] == 250


def test_mail_addresses_in_the_log_are_escaped(daemon):
    port = free_port()
    running = daemon(services=[{
        "name": "mail", "protocol": "smtp", "log": {"connections": True},
        "listen": f"tcp://127.0.0.1:{port}", "smtp": {"mode": "sink"}}],
        log={"level": "debug"})
    with tcp(port) as sock:
        sock.sendall(b"EHLO \x1b[31m\r\nMAIL FROM:<\x07a@b\x1b>\r\n"
                     b"FOO \x08\x7f\nforged: line\r\nQUIT\r\n")
        receive_all(sock, reset_ok=True)
    time.sleep(0.3)
    running.judge_log()
    assert not re.search(r"^\s*forged", running.log(), re.M)


# ---------------------------------------------------------------- other people's clients

def test_smtplib(mail):
    message = EmailMessage()
    message["From"] = "a@example.org"
    message["To"] = "b@example.org, c@example.org"
    message["Subject"] = "test"
    message.set_content(".leading dot\n..two\nplain\n" * 100)
    for host in ("127.0.0.1", "::1"):
        with smtplib.SMTP(host, mail.sink, timeout=PATIENCE) as client:
            for _ in range(3):
                assert client.send_message(message) == {}
            assert client.has_extn("pipelining")
            assert client.noop()[0] == 250
            assert client.vrfy("b")[0] in (252, 502, 550)


def test_smtplib_utf8(mail):
    message = EmailMessage()
    message["From"] = "jörg@example.org"
    message["To"] = "b@example.org"
    message.set_content("grüße\n")
    with smtplib.SMTP("127.0.0.1", mail.sink, timeout=PATIENCE) as client:
        assert client.send_message(message) == {}


def test_smtplib_too_large(mail):
    with smtplib.SMTP("127.0.0.1", mail.sink, timeout=PATIENCE) as client:
        with pytest.raises(smtplib.SMTPException) as refused:
            client.sendmail("a@example.org", ["b@example.org"],
                            "x" * 70 + "\r\n" * LIMIT)
        assert "552" in str(refused.value)
        assert client.sendmail("a@example.org", ["b@example.org"], "x") == {}


def swaks(port, *args):
    return subprocess.run(
        ["swaks", "--server", f"127.0.0.1:{port}", "--to", "b@example.org",
         "--from", "a@example.org", "--helo", "client.example",
         "--timeout", "20", *args],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=40)


@needs("swaks")
def test_swaks(mail):
    result = swaks(mail.sink)
    assert result.returncode == 0, result.stdout + result.stderr
    result = swaks(mail.sink, "--to", "b@example.org,c@example.org",
                   "--body", "line\n.dot\n..dots\n", "--protocol", "ESMTP")
    assert result.returncode == 0, result.stdout + result.stderr
    result = swaks(mail.sink, "--protocol", "SMTP")
    assert result.returncode == 0, result.stdout + result.stderr


@needs("swaks")
def test_swaks_pipelining(mail):
    result = swaks(mail.sink, "--pipeline")
    if "requires" in result.stderr:
        pytest.skip(result.stderr)
    assert result.returncode == 0, result.stdout + result.stderr


@needs("swaks")
def test_swaks_banner(mail):
    result = swaks(mail.banner, "--quit-after", "EHLO")
    assert result.returncode == 0, result.stdout + result.stderr
    result = swaks(mail.banner)
    assert result.returncode == 23, result.stdout + result.stderr  # MAIL refused


@needs("telnet")
def test_telnet(mail):
    process = subprocess.Popen(["telnet", "127.0.0.1", str(mail.banner)],
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        text = b""
        for line, wanted in ((b"", b"220 "), (b"EHLO client.example", b"250 "),
                             (b"QUIT", b"221 ")):
            if line:
                process.stdin.write(line + b"\n")
                process.stdin.flush()
            while wanted not in text:
                ready, _, _ = select.select([process.stdout], [], [], 10)
                assert ready, text
                part = os.read(process.stdout.fileno(), 1000)
                assert part, text
                text += part
    finally:
        process.kill()
        process.communicate(timeout=10)
