package syslog

import (
	"bytes"

	"rsyncd_exporter/receiver"
)

// facilityNames are the facilities as syslog daemons write them into their files, by number; RFC
// 5424 section 6.2.1. Those from 12 to 15 are each system's own.
var facilityNames = [...][]string{
	{"kern"}, {"user"}, {"mail"}, {"daemon"}, {"auth", "security"}, {"syslog"}, {"lpr"}, {"news"}, {"uucp"},
	{"cron"}, {"authpriv"}, {"ftp"}, {"ntp"}, {"audit"}, {"console", "alert"}, {"solaris-cron", "clock"},
	{"local0"}, {"local1"}, {"local2"}, {"local3"}, {"local4"}, {"local5"}, {"local6"}, {"local7"},
}

var severityNames = [...][]string{
	{"emerg", "panic"}, {"alert"}, {"crit"}, {"err", "error"}, {"warning", "warn"}, {"notice"}, {"info"}, {"debug"},
}

// readLevel reads "daemon.info", or AIX' "daemon:info", into a message that has no priority. It
// returns false for any other word.
func readLevel(word []byte, m *receiver.Message) bool {
	i := bytes.IndexAny(word, ".:")
	if i < 0 {
		return false
	}
	return setLevel(m, named(facilityNames[:], word[:i]), named(severityNames[:], word[i+1:]))
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

// readLevelNumbers is readLevel for "3.6".
func readLevelNumbers(word []byte, m *receiver.Message) bool {
	point := bytes.IndexByte(word, '.')
	if point < 1 || point > 2 || len(word) != point+2 || digitsEnd(word, 0) != point || !isDigit(word[point+1]) {
		return false
	}
	return setLevel(m, int(parsePID(word[:point])), number(word[point+1]))
}

func setLevel(m *receiver.Message, facility, severity int) bool {
	if facility < 0 || facility >= len(facilityNames) || severity < 0 || severity >= len(severityNames) {
		return false
	}
	if m.Severity < 0 {
		m.Facility, m.Severity = int8(facility), int8(severity)
	}
	return true
}
