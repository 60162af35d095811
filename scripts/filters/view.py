"""The submission view: a message as its writer handed it in, before it travelled, the same for every filter."""

import re

# What mail servers and lists on the way add, and what betrays in a corpus how a message was once judged.
DROPPED = re.compile(
    rb"(?i)^(received|return-path|delivered-to|x-.*|authentication-results|arc-.*|dkim-signature|list-.*|sender|errors-to)$"
)
# Every message was written now: rules about old dates would judge the age of the corpus.
DATE = b"Date: Mon, 2 Nov 2026 10:00:00 +0000"
# Marks of redaction stand in some corpora only.
MARKS = [
    (re.compile(rb"(?i)\bhxxp"), b"http"),
    (re.compile(rb"\[\.\]"), b"."),
    (re.compile(rb"\[removed\]"), b"someone@mail.example"),
    (re.compile(rb"(?i)redacted@"), b"someone@"),
]


def fields(head):
    """The header fields, each with its folded lines."""
    field = []
    for line in head.split(b"\n"):
        if line[:1] in (b" ", b"\t") and field:
            field.append(line)
            continue
        if field:
            yield b"\n".join(field)
        field = [line]
    if field:
        yield b"\n".join(field)


def submission_view(raw):
    """The message without what was added on its way, lines ended by CRLF."""
    text = raw.replace(b"\r\n", b"\n")
    if text.startswith(b"From ") or text.startswith(b">From "):
        text = text.partition(b"\n")[2]
    head, gap, body = text.partition(b"\n\n")
    kept = []
    for field in fields(head):
        name = field.partition(b":")[0].strip()
        if DROPPED.match(name):
            continue
        kept.append(DATE if name.lower() == b"date" else field)
    text = b"\n".join(kept) + (gap or b"\n\n") + body
    for mark, plain in MARKS:
        text = mark.sub(plain, text)
    return text.replace(b"\n", b"\r\n")
