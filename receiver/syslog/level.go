package syslog

import (
	"bytes"

	"rsyncd_exporter/receiver"
)

// facilityNames are the facilities as syslog daemons write them into their files, by number; RFC 5424 section 6.2.1.
// Those from 12 to 15 are each system's own.
var facilityNames = [...][]string{
	{"kern"}, {"user"}, {"mail"}, {"daemon"}, {"auth", "security"}, {"syslog"}, {"lpr"}, {"news"}, {"uucp"},
	{"cron"}, {"authpriv"}, {"ftp"}, {"ntp"}, {"audit"}, {"console", "alert"}, {"solaris-cron", "clock"},
	{"local0"}, {"local1"}, {"local2"}, {"local3"}, {"local4"}, {"local5"}, {"local6"}, {"local7"},
}

// severityNames are the severities, likewise.
var severityNames = [...][]string{
	{"emerg", "panic"}, {"alert"}, {"crit"}, {"err", "error"}, {"warning", "warn"}, {"notice"}, {"info"}, {"debug"},
}

// levelByName reads "daemon.info", or AIX' "daemon:info".
func levelByName(word []byte) (facility, severity int, ok bool) {
	i := bytes.IndexAny(word, ".:")
	if i < 0 {
		return 0, 0, false
	}
	facility, severity = named(facilityNames[:], word[:i]), named(severityNames[:], word[i+1:])
	return facility, severity, facility >= 0 && severity >= 0
}

// named returns where a name stands in names, -1 if nowhere.
func named(names [][]string, word []byte) int {
	for i, same := range names {
		for _, name := range same {
			if string(word) == name {
				return i
			}
		}
	}
	return -1
}

// levelByNumber reads "3.6".
func levelByNumber(word []byte) (facility, severity int, ok bool) {
	point := bytes.IndexByte(word, '.')
	if point < 1 || point > 2 || len(word) != point+2 || digitsEnd(word, 0) != point || !isDigit(word[point+1]) {
		return 0, 0, false
	}
	facility, severity = int(parsePID(word[:point])), number(word[point+1])
	return facility, severity, facility < len(facilityNames) && severity < len(severityNames)
}

// isLevel says whether word is a facility and a severity.
func isLevel(word []byte) bool {
	_, _, ok := levelByName(word)
	return ok
}

// setLevel sets facility and severity of a message that has no priority.
func setLevel(m *receiver.Message, facility, severity int) {
	if m.Severity < 0 {
		m.Facility, m.Severity = int8(facility), int8(severity)
	}
}
