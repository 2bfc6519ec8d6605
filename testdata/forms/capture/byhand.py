#!/usr/bin/env python3
"""Writes the forms of programs that can't be run here, from session.raw and hostile.raw, into the directory above.

Each form's line is what the source or the document that the README names writes for the message.
"""
import os, re

here = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
months = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()
severities = {"28": "warning", "30": "info"}


def read(name):
    """The datagrams of a .raw file as (priority, day, time, pid, text)."""
    for line in open(os.path.join(here, name), "rb").read().splitlines():
        text = re.sub(rb"\\(\\|n|x..)", lambda m: {b"\\": b"\\", b"n": b"\n"}.get(m[1]) or bytes([int(m[1][1:], 16)]), line.split(b" ", 1)[1])
        m = re.fullmatch(rb"<(\d+)>Nov (\d\d) ([\d:]{8}) rsyncd\[(\d+)\]: (.*)\n", text, re.S)
        yield tuple(f.decode("latin-1") for f in m.groups())


def escaped(text):
    """rsync 3.5.0's escapes in a log file (log.c)."""
    text = re.sub(r"\\(?=#\d\d\d)", r"\\#134", text)
    return re.sub("[\x00-\x08\x0a-\x1f\x80-\x9f]", lambda m: "\\#%03o" % ord(m[0]), text)


def spaces(text):
    return text.replace("\n", " ")


def illumos(text):
    """putctrlc of syslogd.c in a UTF-8 locale."""
    raw = text.encode("latin-1").decode("utf-8", "surrogateescape").replace("\n", "\\n")
    return "".join("\\%03o" % (ord(c) & 0xff) if ord(c) >= 0xdc80 else "^" + chr(ord(c) ^ 64) if c < " " and c != "\t" else c
                   for c in raw).encode().decode("latin-1")


def lines(name, source, form):
    with open(os.path.join(here, name), "wb") as f:
        for n, message in enumerate(read(source)):
            f.write((form(n, *message) + "\n").encode("latin-1"))


def wire(name, source, form):
    with open(os.path.join(here, name), "w") as f:
        for n, message in enumerate(read(source)):
            b = form(n, *message).encode("latin-1")
            text = "".join({10: "\\n", 92: "\\\\"}.get(c) or (chr(c) if 32 <= c < 127 else "\\x%02x" % c) for c in b)
            f.write("%d %s\n" % (len(b), text))


def own(day, time, pid, text):
    return "2026/11/%s %s [%s] %s" % (day, time, pid, escaped(text))


def fraction(n):
    return "%09d" % ((123456789 + 7654321 * n) % 1000000000)


def rfc3339nano(n, day, time):
    """Go's time.RFC3339Nano drops zeros at the fraction's end; line 3 has some."""
    return "2026-11-%sT%s.%s+01:00" % (day, time, (fraction(n)[:3] + "000000" if n == 3 else fraction(n)).rstrip("0"))


def solaris(n, pri, day, time, pid, text):
    return "Nov %s %s nas rsyncd[%s]: [ID 702911 daemon.%s] %s" % (day, time, pid, severities[pri], illumos(text))


def openwrt(n, pri, day, time, pid, text):
    return "Mon Nov %s %s 2026 daemon.%s rsyncd[%s]: %s" % (day, time, {"28": "warn"}.get(pri, "info"), pid, spaces(text))


def cri(n, pri, day, time, pid, text):
    stamp, line = rfc3339nano(n, day, time) + " stdout ", own(day, time, pid, text)
    if n in (7, 20):  # a line whose end the runtime had not read yet
        return stamp + "P " + line[:40] + "\n" + stamp + "F " + line[40:]
    return stamp + "F " + line


def compose(n, pri, day, time, pid, text):
    """A project with a second service, whose longer name sets the width."""
    other = {0: "exporter-1  | listening on [::]:9876\n", 9: "exporter-1  | \n"}.get(n, "")
    return other + "rsyncd-1    | " + own(day, time, pid, text)


def compose_t(n, pri, day, time, pid, text):
    utc = "%02d%s" % (int(time[:2]) - 1, time[2:])
    return "rsyncd-1  | 2026-11-%sT%s.%sZ " % (day, utc, fraction(n)) + own(day, time, pid, text)


def header(stamp, end=""):
    return lambda n, pri, day, time, pid, text: "<%s>" % pri + stamp % {"day": day, "time": time} + " rsyncd[%s]: %s" % (pid, text) + end


lines("rsync.log", "session.raw", lambda n, pri, *rest: own(*rest))
lines("solaris.log", "session.raw", solaris)
lines("freebsd-v.log", "session.raw", lambda n, pri, day, time, pid, text:
      "Nov %s %s <3.%d> nas rsyncd[%s]: %s" % (day, time, int(pri) % 8, pid, text))
lines("freebsd-vv.log", "session.raw", lambda n, pri, day, time, pid, text:
      "Nov %s %s <daemon.%s> nas rsyncd[%s]: %s" % (day, time, {"28": "warn"}.get(pri, "info"), pid, text))
lines("openwrt.log", "session.raw", openwrt)
lines("openwrt-t.log", "session.raw", lambda n, pri, day, time, pid, text: openwrt(n, pri, day, time, pid, text).replace(
      "2026 ", "2026 [%d.%s] " % (1795455600 + int(time[3:5]) * 60 - 2400 + int(time[6:]), fraction(n)[:3]), 1))
lines("aix.log", "session.raw", lambda n, pri, day, time, pid, text: "Nov %s %s nas daemon:%s rsyncd[%s]: %s" % (day, time, severities[pri], pid, spaces(text)))
lines("cri.log", "session.raw", cri)
lines("hostile.cri.log", "hostile.raw", cri)
lines("compose.log", "session.raw", compose)
lines("compose-t.log", "session.raw", compose_t)
lines("hostile.compose.log", "hostile.raw", compose)

wire("solaris.raw", "session.raw", lambda n, pri, day, time, pid, text:
     "<%s>Nov %s %s rsyncd[%s]: [ID 702911 daemon.%s] %s" % (pri, day, time, pid, severities[pri], illumos(text)))
wire("hostile.solaris.raw", "hostile.raw", lambda n, pri, day, time, pid, text:
     "<%s>Nov %s %s rsyncd[%s]: [ID 702911 daemon.%s] %s" % (pri, day, time, pid, severities[pri], illumos(text)))
wire("aix.raw", "session.raw", header("Nov %(day)s %(time)s Message forwarded from nas:"))
wire("bsd-forwarded.raw", "session.raw", header("Nov %(day)s %(time)s Forwarded from nas:"))
wire("year-third.raw", "session.raw", header("Nov %(day)s 2026 %(time)s nas"))
wire("year-last.raw", "session.raw", header("Nov %(day)s %(time)s 2026 nas"))
wire("one-space-day.raw", "session.raw", header("Nov 3 %(time)s nas"))
wire("iso-nozone.raw", "session.raw", header("2026-11-%(day)sT%(time)s nas"))
wire("iso-space.raw", "session.raw", header("2026-11-%(day)s %(time)s nas"))
wire("iso-comma.raw", "session.raw", header("2026-11-%(day)s %(time)s,123 nas"))
wire("openwrt.raw", "session.raw", header("Nov %(day)s %(time)s router"))
