package main

import (
	"rsyncd_exporter/receiver/syslog"
	"rsyncd_exporter/rsynclog"
)

// checkLogFormat asks rsynclog what it thinks of a LOG_FORMAT. The warnings say what in transfer lines can't be told apart for certain.
func checkLogFormat(format string) (warnings []string, err error) {
	parser, err := rsynclog.NewParser(format)
	if err != nil {
		return nil, err
	}
	return parser.Warnings(), nil
}

// checkLineFormat asks receiver what it thinks of a LINE_FORMAT.
func checkLineFormat(format string) error {
	_, err := syslog.ParseLineFormat(format)
	return err
}

// checkSyslogFormat asks receiver what it thinks of a SYSLOG_FORMAT.
func checkSyslogFormat(name string) error {
	_, err := syslog.NewDialect(name, false)
	return err
}
