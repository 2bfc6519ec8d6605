package rsynclog

import (
	"regexp"
	"strings"
)

// A Rule specifies one sort of line. The rules are what Parse obeys, for DefaultLogFormat: the first one that fits a text gives its
// kind. They aren't used to parse, tests hold the scanner against them.
type Rule struct {
	Kind     Kind
	Versions string // of rsync that write it: "all" is 2.6.9 to 3.5.0; "3.1+", "-3.0.9", "3.1-3.1.3"; "" where it isn't rsync's
	// Pattern is a regular expression of package regexp for the whole text. Its groups are named
	// after what they hold: op, host, addr, module, user, request, path, after, version, role; the
	// numbers code, errno, length, sent, received, total, lost, repeat, which don't fit if they are
	// too large; bare, an address, which doesn't fit unless netip.ParseAddr accepts it; and inner,
	// a text of less than 800 bytes that is parsed in its turn, without a space at its front, and
	// gives the kind.
	Pattern string
	Size    Size
	Example string
}

// A Size says how long a text must be for a rule. rsync cuts at 2047 bytes, and then the end isn't what it seems.
type Size uint8

const (
	AnySize  Size = iota
	Whole         // shorter than 2047 bytes
	Cut           // 2047 bytes or more
	Short         // less than 2045 bytes: the end isn't cut, nor a line end in a name just where rsync cuts
	MaybeCut      // 2045 bytes or more: a line end in a name, just where rsync cuts, is taken for the line's own
)

// The words of the patterns.
const (
	reHost   = `(?P<host>[^ @()\[\]]+)`
	reAddr   = `[0-9A-Fa-f:.]*[:.][0-9A-Fa-f:.]*(?:%[0-9A-Za-z_.-]+)?`
	reClient = reHost + ` \((?P<addr>` + reAddr + `)\)`
	reBare   = `(?P<bare>` + reAddr + `)`
	reNumber = `(?:0|[1-9][0-9]*)`
	// reCount may have thousands separators, as 3.1.0 writes it.
	reCount  = `(?:[1-9][0-9]{0,2}(?:(?:,[0-9]{3})+|(?:\.[0-9]{3})+)|0|[1-9][0-9]*)`
	reRole   = `(?:\[(?P<role>[A-Za-z]+)\] )?`
	reWho    = `\[(?:sender|receiver|generator|Receiver|server|client)\] `
	reAuth   = `auth failed on module (?P<module>.+?) from ` + reClient + `(?:|: missing secret for user "(?P<user>.*)"|: .+|`
	reVerify = `(?P<path>.*) failed verification -- update .*\.`
	reStart  = `rsync (?P<direction>on|to) (?P<request>.*)`
	reFront  = `(?P<op>send|recv|del\.) ` + reHost + ` \[(?P<addr>` + reAddr + `)\] `
)

// rules are those that a scanner of their own stands for.
var rules = [...]Rule{
	{OtherKnown, "all", `recv mapped \[.*\] .* of size ` + reNumber, Whole, "recv mapped [::1] m (u) f of size 7"},
	{Transfer, "all", reFront + `(?P<after>.+? \(.*?\) .+ (?P<length>` + reNumber + `))`,
		Whole, "send localhost [127.0.0.1] data () a.txt 6"},
	{Transfer, "all", reFront + `(?P<after>.+)`, MaybeCut, "recv localhost [127.0.0.1] inbox () " + tooLong},

	{Summary, "2.6.4+",
		`sent (?P<sent>` + reCount + `) bytes  received (?P<received>` + reCount + `) bytes  total size (?P<total>` + reCount + `)`,
		AnySize, "sent 75305 bytes  received 98 bytes  total size 75006"},
	{Summary, "-2.6.3",
		`wrote (?P<sent>` + reCount + `) bytes  read (?P<received>` + reCount + `) bytes  total size (?P<total>` + reCount + `)`,
		AnySize, "wrote 75305 bytes  read 98 bytes  total size 75006"},
	{Connect, "all", `connect from ` + reClient, AnySize, "connect from localhost (127.0.0.1)"},
	{Allowed, "all", `rsync allowed access on module (?P<module>.+) from ` + reClient, AnySize,
		"rsync allowed access on module my module (v2) from localhost (127.0.0.1)"},
	{Denied, "all", `rsync denied on module (?P<module>.+) from ` + reClient, AnySize,
		"rsync denied on module closed from UNKNOWN (fe80::1%eth0)"},
	{Start, "all", reStart + ` from (?:(?P<user>[^ ]*)@)?` + reClient, Whole, "rsync on priv/ from bob@evil(1)@localhost (127.0.0.1)"},
	{Start, "all", reStart, Cut, "rsync to inbox/ inbox/" + tooLong},
	{ExitError, "all", `rsync error: ` + reExit, AnySize, "rsync error: error in socket IO (code 10) at io.c(949) [sender=3.5.0]"},
	{ExitWarning, "all", `rsync warning: ` + reExit, AnySize,
		"rsync warning: some files vanished before they could be transferred (code 24) at main.c(1682) [Receiver=3.2.7]"},
	{ModuleList, "all", `module-list request from ` + reClient, AnySize, "module-list request from localhost (::1)"},
	{UnknownModule, "all", `unknown module '(?P<module>.*)' tried from ` + reClient, AnySize,
		"unknown module 'x' tried from y (1.2.3.4)' tried from localhost (127.0.0.1)"},
	{AuthFailed, "all", reAuth + ` for (?P<user>.*): .+)`, Whole,
		"auth failed on module priv from localhost (127.0.0.1) for a: b: password mismatch"},
	{AuthFailed, "all", reAuth + ` for .*)`, Cut, "auth failed on module priv from localhost (127.0.0.1) for " + tooLong},
	{ProxyRejected, "3.5+", `proxy protocol rejected from untrusted peer ` + reClient, AnySize,
		"proxy protocol rejected from untrusted peer UNDETERMINED (127.0.0.1)"},
	{DaemonStart, "all", `rsyncd version (?P<version>[^ ]+) starting, listening on port [0-9]+`, AnySize,
		"rsyncd version 3.5.0 starting, listening on port 873"},
	{VerifyFailed, "all", `WARNING: ` + reVerify, AnySize, "WARNING: x failed verification -- update discarded (will try again)."},
	{FileError, "all", `ERROR: ` + reVerify, AnySize, "ERROR: x failed verification -- update discarded."},
	{NameLookup, "all", reAddr + ` is not a known address for ".*": spoofed address\?`, AnySize,
		`10.1.2.3 is not a known address for "x.example": spoofed address?`},

	{LostUpstream, "", `imuxsock lost (?P<lost>` + reNumber + `) messages from pid .*`,
		AnySize, "imuxsock lost 12 messages from pid 9 due to rate-limiting"},
	{LostUpstream, "", `im.*: (?P<lost>` + reNumber + `) messages lost due to rate-limiting(?: \([^()]*\))?`, AnySize,
		"imuxsock[pid: 9, name: rsync]: 12 messages lost due to rate-limiting (200 allowed within 5 seconds)"},
	{LostUpstream, "", `Suppressed (?P<lost>` + reNumber + `) messages from .+`, AnySize, "Suppressed 12 messages from rsync.service"},
	{LostUpstream, "", `(?:last )?message repeated (?P<lost>` + reNumber + `) times`, AnySize, "last message repeated 3 times"},
	{LostUpstream, "", `(?:last )?message repeated (?P<lost>1) time`, AnySize, "message repeated 1 time"},
	{LostUpstream, "", `Last message '.*' repeated (?P<lost>` + reNumber + `) times, suppressed by syslog-ng on [^ ]+`, AnySize,
		"Last message 'connect from localhos' repeated 3 times, suppressed by syslog-ng on vm"},
	{Transfer, "", `message repeated (?P<repeat>` + reNumber + `) times: \[(?P<inner>.*)\]`, AnySize,
		"message repeated 2 times: [ send localhost [127.0.0.1] data () a.txt 6]"},
}

// reExit ends in a bracket since 2.6.4.
const reExit = `.+ \(code (?P<code>[0-9]{1,3})\) at [^ ()]+\([0-9]+\)(?: \[(?P<role>[A-Za-z]+)=(?P<version>[^ =\[\]]+)\])?`

// Grammar returns the specification of all lines, in the order in which they are tried.
func Grammar() []Rule {
	all := append([]Rule(nil), rules[:]...)
	all = append(all, Rule{FileError, "all", `rsync: ` + reRole + `.*`, Cut, "rsync: [sender] link_stat " + tooLong})
	all = append(all, Rule{OtherKnown, "all", `rsync: ` + reRole + oldFile + `.*` + continued + `.+ \([0-9]{1,4}\)`, Whole,
		`rsync: [generator] failed to open "/x" (in inbox), continuing: Permission denied (13)`})
	for _, w := range errnoWords {
		said := regexp.QuoteMeta(w.words) + `.+`
		if !strings.Contains(w.words, ": ") {
			said = regexp.QuoteMeta(w.words) + `.*: .+`
		}
		all = append(all, Rule{w.kind, w.versions, `rsync: ` + reRole + said + ` \([0-9]{1,4}\)`, Whole,
			"rsync: [sender] " + w.words + w.example})
	}
	const errno = ` \((?P<errno>[0-9]{1,4})\)`
	all = append(all,
		Rule{FileError, "all", `rsync: ` + reRole + `[^"]*"(?P<path>[^"]*)"[^"]*: [^"]+` + errno, Whole,
			`rsync: [sender] send_files failed to open "/root-only" (in data): Permission denied (13)`},
		Rule{FileError, "all", `rsync: ` + reRole + `.+: .+` + errno, Whole,
			`rsync: [generator] chown "/a"b" (in m) failed: Operation not permitted (1)`})
	for _, others := range [...]bool{false, true} {
		for _, l := range plainLines {
			if (l.kind == OtherKnown && !hasRole(l)) == others {
				all = append(all, l.rule())
			}
		}
	}
	for _, tail := range verboseTails {
		all = append(all, Rule{OtherKnown, tail.versions, `.*` + regexp.QuoteMeta(tail.words), AnySize, "sub/x" + tail.words})
	}
	all = append(all,
		Rule{Connect, "", `connect from ` + reBare, Short, "connect from 2001:db8:4f8:191:1056::2"},
		Rule{ModuleList, "", `module-list request from ` + reBare, Short, "module-list request from 192.0.2.46"},
		Rule{Allowed, "", `rsync allowed access on module (?P<module>.+) from ` + reBare, Short,
			"rsync allowed access on module my module from 192.0.2.46"},
		Rule{Denied, "", `rsync denied on module (?P<module>.+) from ` + reBare, Short, "rsync denied on module closed from fe80::1%eth0"},
		Rule{UnknownModule, "", `unknown module '(?P<module>.*)' tried from ` + reBare, Short,
			"unknown module 'x' tried from y' tried from 192.0.2.46"},
		Rule{Start, "", reStart + ` from (?:(?P<user>[^ ]*)@)?` + reBare, Short, "rsync on sources/ from 192.0.2.46"})
	for i := range all {
		all[i].Pattern = `(?s)\A(?:` + all[i].Pattern + `)\z`
	}
	return all
}

// rule writes a plainLine as a rule.
func (l plainLine) rule() Rule {
	form, pattern := l.form, ""
	if hasRole(l) {
		form, pattern = strings.TrimPrefix(form, roleMark), reWho
		if l.kind == FileError || l.kind == Timeout {
			pattern = strings.Replace(reWho, "?:", "?P<role>", 1)
		}
	}
	parts := strings.Split(strings.ReplaceAll(form, "%d", "%s"), "%s")
	for i := range parts {
		parts[i] = regexp.QuoteMeta(strings.ReplaceAll(parts[i], "%%", "%"))
	}
	if l.kind == FileList {
		parts[0] = strings.Replace(parts[0], "ing", "ing)", 1)
		pattern = `(?P<direction>`
	}
	verb := `.*`
	switch {
	case strings.Contains(form, "%d"):
		verb = `[0-9]+`
	case form == "%s":
		verb = `.+`
	}
	example := strings.Replace(l.form, "ROLE", "sender", 1)
	if len(parts) > 1 {
		example = strings.Replace(strings.ReplaceAll(example, "%d", "%s"), "%s", l.example, 1)
	}
	example = strings.ReplaceAll(strings.ReplaceAll(example, "%%", "%"), "%s", "x")
	return Rule{l.kind, l.versions, pattern + strings.Join(parts, verb), AnySize, example}
}

// tooLong stands for a name of some two thousand bytes.
var tooLong = strings.Repeat("7", 2040)
