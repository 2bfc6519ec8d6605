package config

import (
	"time"

	"rsyncd_exporter/backups"
)

// EmptyIs says what an empty list of the setting means; it is "" for a setting that is no list.
func (s Setting) EmptyIs() string { return string(s.list) }

// MaxSocketPath is the longest path of a unix socket.
const MaxSocketPath = maxSocketPath

// FromKubernetes says whether Kubernetes could have set a variable.
var FromKubernetes = fromKubernetes

// ParseExpectFile is what reads EXPECT_FILE, without the lines.
func ParseExpectFile(content []byte, now time.Time) (list []backups.Expectation, problems []error) {
	lines, problems := parseExpectFile(content, now)
	for _, l := range lines {
		list = append(list, l.Expectation)
	}
	return list, problems
}
