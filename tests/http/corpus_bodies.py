"""Byte streams about the lengths of bodies, and about chunks."""

from __future__ import annotations

from collections.abc import Iterator

from tests.http.corpus_cases import CHUNKED, END, SMUGGLED, Case, Outcome, post, read_as

BAD_LENGTHS = {
    b"5, 5": "equal lengths in a list: RFC 9110 lets some take one of them, and others refuse",
    b"5,5": "equal lengths in a list, without a space",
    b"5, 6": "different lengths in a list",
    b"5,": "an empty member of the list",
    b",5": "an empty member of the list, as the first",
    b"+5": "a sign: readers of numbers in many languages take it",
    b"-5": "negative, as it were; some make a huge number of it",
    b"-0": "negative zero",
    b"0x5": "hexadecimal: readers of numbers that guess the base",
    b"0o5": "octal: readers of numbers that guess the base",
    b"0b101": "binary: readers of numbers that guess the base",
    b"5 5": "some read up to the space, some take it out",
    b"5\t5": "some read up to the tab",
    b"5;5": "some read up to the semicolon",
    b"5.0": "a fraction",
    b"5e0": "an exponent",
    b"5_0": "underscores between digits: Python's int takes them",
    b"5L": "some read up to the letter",
    b"'5'": "some take off quotes",
    b'"5"': "some take off quotes",
    b"five": "some read 0",
    b"": "some read 0, some take it as absent",
    b"\xa05": "some take a no-break space off",
    b"5\xa0": "some take a no-break space off",
    b"5\x0b": "some take a vertical tab off",
    b"5\x00": "some end a text at NUL",
    b"\x005": "some end a text at NUL",
    b"\xd9\xa5": "an Arabic five: Python's int takes it",
    b"\xb2": "a superscript two, which str.isdigit takes",
    b"\xef\xbc\x95": "a five of double width",
    b"5\r\n ": "an empty folded line",
    b"\r\n 5": "a value that begins on the folded line",
    b"5\r\n 0": "a number that goes on in the folded line: 50, or 5 and 0",
    b"\n5": "LF for the space",
    b"5\nA: b": "LF alone ends the line for some",
    b"5\rA: b": "CR alone ends the line for some",
}


def bad_lengths() -> Iterator[Case]:
    """Lengths that are not one number of digits."""
    for value, reason in BAD_LENGTHS.items():
        yield Case(post(b"Content-Length: " + value + b"\r\n", b"hello" + SMUGGLED), reason)
    for one, other in ((b"5", b"5"), (b"5", b"0"), (b"0", b"5"), (b"5", b"05"), (b"5", b"x"), (b"", b"5")):
        lines = b"Content-Length: %b\r\nContent-Length: %b\r\n" % (one, other)
        yield Case(post(lines, b"hello" + SMUGGLED), "twice: some go by the first, some by the last")
        yield Case(post(lines.replace(b"\r\nC", b"\r\nA: b\r\nc", 1), b"hello" + SMUGGLED), "twice, not side by side")
    for value in (
        b"9223372036854775813",
        b"18446744073709551621",
        b"4294967301",
        b"9" * 400,
        b"0" * 400 + b"4294967301",
    ):
        reason = "5 in 32 or 64 bits, or as much as fits; too large here"
        yield Case(post(b"Content-Length: " + value + b"\r\n", b"hello" + SMUGGLED), reason, status=413)
    for name in (b"Content-Length ", b"Content-Length\t", b" Content-Length", b"Content Length", b"Content-Length\x00"):
        yield Case(post(name + b": 5\r\n", b"hello" + SMUGGLED), "a name that only some readers find")


def good_lengths() -> Iterator[Case]:
    """Lengths that there is one way to read; what follows the body is the next request, wherever it looks like one."""
    for value in (b"35", b"035", b"0000000000000000000000000000000000000035"):
        data = post(b"Content-Length: " + value + b"\r\n", SMUGGLED)
        yield Case(data, "digits are decimal, with zeros before them too", read_as(SMUGGLED), Outcome.KEPT)
    inner = post(b"Content-Length: 3\r\n", b"abc")
    body = inner + SMUGGLED
    outer = post(b"Content-Length: %d\r\n" % len(body), body)
    yield Case(outer, "a body that looks like requests is a body", read_as(body), Outcome.KEPT)
    yield Case(outer + outer, "the same, pipelined", read_as(body, *read_as(body)), Outcome.KEPT)
    seen = read_as(b"hello", (b"GET", b"/smuggled", b""))
    for spelt in (b"Content-Length:5", b"CONTENT-LENGTH: \t5\t ", b"content-length:  5"):
        yield Case(post(spelt + b"\r\n", b"hello" + SMUGGLED), "optional white space, any case", seen, Outcome.KEPT)
    yield Case(post(b"", SMUGGLED), "no length: no body", read_as(b"", seen[1]), Outcome.KEPT)
    yield Case(
        post(b"Content-Length: 5\r\n", b"hello\r\n" + SMUGGLED), "one empty line behind a body", seen, Outcome.KEPT
    )
    yield Case(
        post(b"Content-Length: 5\r\n", b"hello\r\n\r\n" + SMUGGLED), "two empty lines: some skip any", read_as(b"hello")
    )
    yield Case(post(b"Content-Length: 5\r\n", b"hello\n" + SMUGGLED), "an empty line of LF", read_as(b"hello"))
    data = post(b"Content-Length: 4\r\n", b"hello" + SMUGGLED[3:])
    reason = "one byte too many is the method of the next request"
    yield Case(data, reason, read_as(b"hell", (b"o", b"/smuggled", b"")), Outcome.KEPT)
    yield Case(post(b"Content-Length: 60\r\n", SMUGGLED), "the rest is not there yet", (), Outcome.WAITING)
    for name in (b"Content_Length", b"Content-Lengthx", b"X-Content-Length", b"Content.Length"):
        reason = "another name, though CGI and others write it the same"
        yield Case(post(name + b": 35\r\n", SMUGGLED), reason, read_as(b"", seen[1]), Outcome.KEPT)
    for method in (b"GET", b"HEAD", b"DELETE", b"OPTIONS", b"TRACE"):
        data = post(b"Content-Length: 35\r\n", SMUGGLED, method + b" / HTTP/1.1")
        reason = "some take no body with such a method, and find a request in it"
        yield Case(data, reason, ((method, b"/", SMUGGLED),), Outcome.KEPT)
        data = post(CHUNKED, b"23\r\n" + SMUGGLED + b"\r\n" + END, method + b" / HTTP/1.1")
        yield Case(data, reason + ", in chunks", ((method, b"/", SMUGGLED),), Outcome.KEPT)
    data = post(b"Expect: 100-continue\r\nContent-Length: 5\r\n", b"hello" + SMUGGLED)
    yield Case(data, "a body that does not wait for 100", seen, Outcome.KEPT)
    data = post(b"Expect: x 100-continue\r\nContent-Length: 5\r\n", b"hello" + SMUGGLED)
    yield Case(data, "another expectation does not end the body early", seen, Outcome.KEPT)
    data = post(b"Connection: Content-Length\r\nContent-Length: 5\r\n", b"hello" + SMUGGLED)
    yield Case(data, "a length counts here, whatever is not to be passed on", seen, Outcome.KEPT)


BAD_CHUNKS = {
    b"+1\r\na\r\n": "a sign before the size: readers of numbers in many languages take it",
    b"-1\r\na\r\n": "a negative size",
    b"0x1\r\na\r\n": "a prefix: readers of numbers take it",
    b"0X1\r\na\r\n": "a prefix in capitals",
    b"1_0\r\n0123456789abcdef\r\n": "underscores between digits: Python's int takes them",
    b"1h\r\na\r\n": "some read up to the first that is no digit",
    b"1,1\r\na\r\n": "some read up to the comma",
    b"1.0\r\na\r\n": "a fraction",
    b"g\r\na\r\n": "no digit: some read 0, and take it as the end",
    b"\r\na\r\n": "no size: some read 0, and take it as the end",
    b";a\r\na\r\n": "no size but an extension",
    b" 1\r\na\r\n": "a space before the size",
    b"\t1\r\na\r\n": "a tab before the size",
    b"1 \r\na\r\n": "a space behind the size: some take it off",
    b"1\t\r\na\r\n": "a tab behind the size",
    b"1 1\r\na\r\n": "a space in the size",
    b"1\x00\r\na\r\n": "NUL behind the size",
    b"1\x0b\r\na\r\n": "a vertical tab behind the size",
    b"\xb9\r\na\r\n": "a superscript one",
    b"\xef\xbc\x91\r\na\r\n": "a one of double width",
    b"00000000000000001\r\na\r\n": "17 digits: some keep 64 bits",
    b"10000000000000001\r\na\r\n": "17 digits that are 1 in 64 bits",
    b"1\na\r\n": "LF alone behind the size",
    b"1\ra\r\n": "CR alone behind the size",
    b"1\r\r\na\r\n": "CR CR LF behind the size",
    b"1\n\ra\r\n": "LF CR behind the size",
    b"1\r\na": "no line end behind the data",
    b"1\r\na\n": "LF alone behind the data",
    b"1\r\na\r": "CR alone behind the data",
    b"1\r\na\n\r\n": "LF CR LF behind the data",
    b"1\r\naXX": "two bytes that are no line end: some skip any two",
    b"1\r\na\r\n\r\n": "an empty line behind the data",
    b"1\r\nab\r\n": "a chunk longer than its size",
    b"2\r\na\r\n": "a chunk shorter than its size",
    b"1;a\nb\r\na\r\n": "LF in an extension: some end the line there",
    b"1;\n\r\na\r\n": "LF as an extension",
    b"1;a\r\r\na\r\n": "CR in an extension",
    b"1;a\rb\r\na\r\n": "CR in an extension: some end the line there",
    b'1;a="\nb"\r\na\r\n': "LF in quotes",
    b'1;a="b\r\na\r\n': "quotes without an end: some read on behind the line end",
    b'1;a="b\\"\r\na\r\n': "quotes whose end is escaped",
    b'1;a=b"c\r\na\r\n': "a quote in a word",
    b"1;\r\na\r\n": "an extension without a name",
    b"1;;a\r\na\r\n": "an extension without a name before another",
    b"1;a=\r\na\r\n": "an extension without a value",
    b"1;a b\r\na\r\n": "a space in an extension",
    b"1;a=b c\r\na\r\n": "a space in the value of an extension",
    b"1;a\x00\r\na\r\n": "NUL in an extension",
    b"1;a=\x7f\r\na\r\n": "DEL in an extension",
    b"1a;\xe4\r\n": "an extension whose name is not ASCII",
}


BAD_ENDS = {
    b"0\r\n\n": "LF alone for the last line",
    b"0\r\n\r\r\n": "CR CR LF for the last line",
    b"0\n\r\n": "LF alone behind the last size",
    b"0\n\n": "LF alone everywhere",
    b"0\r\r": "CR alone everywhere",
    b"0 \r\n\r\n": "a space behind the last size",
    b"0;\n\r\n\r\n": "LF in an extension of the last chunk",
    b"0\r\nhello\r\n\r\n": "a trailer that is no field",
    b"0\r\nA : b\r\n\r\n": "a trailer with a space before its colon",
    b"0\r\n A: b\r\n\r\n": "a trailer that begins with a space",
    b"0\r\nA: b\r\n c\r\n\r\n": "a folded trailer",
    b"0\r\nA: b\nC: d\r\n\r\n": "LF alone in a trailer",
    b"0\r\nA: b\rC: d\r\n\r\n": "CR alone in a trailer",
    b"0\r\nA: \x00\r\n\r\n": "NUL in a trailer",
    b"0\r\nContent-Length: 35\r\n\r\n": "a length as a trailer: some make a field of the request of it",
    b"0\r\ncontent-length: 0\r\n\r\n": "the same in small letters",
    b"0\r\nTransfer-Encoding: chunked\r\n\r\n": "a coding as a trailer",
    b"0\r\nHost: b\r\n\r\n": "a host as a trailer: some route by it",
    b"0\r\nA: b\r\nHost: b\r\n\r\n": "the same behind another trailer",
    b"0\r\nConnection: close\r\n\r\n": "a wish about the connection as a trailer",
    b"0\r\nAuthorization: Application x\r\n\r\n": "credentials as a trailer: some let them count",
}


def chunks() -> Iterator[Case]:
    """Bodies in chunks."""
    for data, reason in BAD_CHUNKS.items():
        yield Case(post(CHUNKED, data + END + SMUGGLED), reason)
        yield Case(post(CHUNKED, b"3\r\nabc\r\n" + data + END + SMUGGLED), f"as the second chunk: {reason}")
    for size in (b"100000001", b"80000001", b"ffffffffffffffff", b"8000000000000000"):
        reason = "1, or negative, in 32 or 64 bits; too large here"
        yield Case(post(CHUNKED, size + b"\r\na\r\n" + END + SMUGGLED), reason, status=413)
    for data, reason in BAD_ENDS.items():
        yield Case(post(CHUNKED, b"1\r\na\r\n" + data + SMUGGLED), reason)
    seen = read_as(b"hello", (b"GET", b"/smuggled", b""))
    for data, reason in {
        b"5\r\nhello\r\n0\r\n\r\n": "as it should be",
        b"05\r\nhello\r\n00\r\n\r\n": "zeros before a size",
        b"0000000000000005\r\nhello\r\n0000000000000000\r\n\r\n": "16 digits, and zeros that are the end",
        b"1\r\nh\r\n4\r\nello\r\n0\r\n\r\n": "two chunks",
        b"5;a\r\nhello\r\n0;b\r\n\r\n": "extensions say nothing",
        b"5;a=b;c\r\nhello\r\n0\r\n\r\n": "two extensions",
        b'5;a="b;c, 0"\r\nhello\r\n0\r\n\r\n': "quotes in an extension",
        b'5;a="\\"\\\\"\r\nhello\r\n0\r\n\r\n': "escapes in quotes",
        b"5 ; a = b\r\nhello\r\n0\r\n\r\n": "white space in an extension, which RFC 9112 has readers bear with",
        b"5\r\nhello\r\n0\r\nA: b\r\nX-Length: 3\r\n\r\n": "trailers that no reader goes by",
    }.items():
        yield Case(post(CHUNKED, data + SMUGGLED), reason, seen, Outcome.KEPT)
    yield Case(post(CHUNKED, b"5\r\nhello\r\n"), "no end yet", (), Outcome.WAITING)
    yield Case(post(CHUNKED, b"5\r\nhello\r\n0\r\n"), "the last line is missing", (), Outcome.WAITING)
    yield Case(post(CHUNKED, b"5\r\nhello\r\n0\r\n\r"), "the last LF is missing", (), Outcome.WAITING)
    yield Case(
        post(CHUNKED, b"5\r\nhello\r\n0\r\n" + SMUGGLED),
        "the last line is missing: the next request would be trailers; its line is no field",
    )
    body = b"23\r\n" + SMUGGLED + b"\r\n" + END
    yield Case(post(CHUNKED, body), "a chunk that looks like a request", read_as(SMUGGLED), Outcome.KEPT)
    yield Case(
        post(CHUNKED, b"5\r\n0\r\n\r\n\r\n" + END), "a chunk that looks like the end", read_as(END), Outcome.KEPT
    )
