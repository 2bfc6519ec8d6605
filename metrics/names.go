package metrics

import "github.com/prometheus/client_golang/prometheus"

// Labels that several metrics share.
var (
	perFlow = []string{"host", "module", "direction"}
	perUser = []string{"host", "module", "direction", "user"}

	perBackup = []string{"name", "module", "user"}
)

// The metrics are the contract with dashboards; allDescs lists them for docs/metrics.md. host is the syslog
// header's, empty for local inputs; module is empty where no trustworthy line names it; direction
// is the daemon's view.
var (
	descConnections = rsync("connections_total", "Clients that connected.", "host")
	descExecutions  = rsync("executions_total",
		"Transfers that were let through: rsync on (send) and rsync to (receive).", perFlow...)
	descErrors = rsync("errors_total",
		"rsync error and rsync warning lines by rsync's exit code.", "host", "module", "status_code")
	descSent     = rsync("sent_bytes_total", "Bytes that the daemon sent, from the sessions' summaries.", perFlow...)
	descReceived = rsync("received_bytes_total",
		"Bytes that the daemon received, from the sessions' summaries.", perFlow...)
	descExchanged = rsync("exchanged_bytes_total", "Bytes sent and received.", perFlow...)
	descListed    = rsync("listed_bytes_total",
		"Size of the files in the sessions' file lists, changed or not; not traffic.", perFlow...)
	descSessions = rsync("sessions_total",
		"Sessions that ended, by outcome.", "host", "module", "direction", "outcome")
	descActive = rsync("sessions_active", "Sessions that were let through and have not ended.", perFlow...)
	descOldest = rsync("oldest_session_start_timestamp_seconds",
		"When the oldest running session began, in seconds of the Unix epoch.", "host", "module")
	descMaxConnections = rsync("module_max_connections",
		"The module's max connections, as RSYNCD_CONF has it; no series where it limits nothing.", "module")
	descPlacesTaken = rsync("module_places_taken",
		"How many of the module's max connections are taken, also by sessions in modules with the same lock file.",
		"host", "module")
	descDuration = rsync("session_duration_seconds",
		"Time from a session's connect to its last line, by the receive clock.", perFlow...)
	descRejected = rsync("rejected_total", "Clients that were turned away, by reason.", "host", "module", "reason")
	descFiles    = rsync("files_total",
		"Transfer lines: files sent (send), received (recv), files and directories deleted (del.), and what the "+
			"log format doesn't tell (unknown).", "host", "module", "operation")
	descFileBytes = rsync("file_bytes_total",
		"Length of the files in transfer lines (%l); not traffic.", "host", "module", "operation")
	descWireBytes = rsync("file_transferred_bytes_total",
		"Bytes on the wire for the files in transfer lines, where the log format has %b.",
		"host", "module", "operation")
	descFileErrors = rsync("file_errors_total",
		"Files that could not be transferred, by errno; 0 for vanished files and errors without one.",
		"host", "module", "errno")
	descLists    = rsync("module_list_requests_total", "Requests for the list of modules.", "host")
	descStarts   = rsync("daemon_starts_total", "Daemon starts.", "host")
	descInfo     = rsync("daemon_info", "Version of the daemon that started last.", "host", "version")
	descLost     = rsync("upstream_lost_messages_total", "Messages that a forwarder says it dropped.", "host")
	descMessages = rsync("messages_total",
		"rsyncd's messages by kind. unrecognised: of no known kind. implausible: can't be what it looks like, "+
			"as a client's text in the log can't.", "host", "kind")

	descLastSuccess = rsync("last_success_timestamp_seconds",
		"When a session last ended with outcome ok, in seconds of the Unix epoch.", perUser...)
	descLastAttempt = rsync("last_attempt_timestamp_seconds",
		"When a session last ended, in seconds of the Unix epoch.", perUser...)
	descLastDuration = rsync("last_session_duration_seconds", "How long the last session took.", perUser...)
	descLastListed   = rsync("last_session_listed_bytes",
		"Size of the files in the last session's file list.", perUser...)

	descBackupMaxAge = rsync("backup_expected_max_age_seconds",
		"Age of an expected backup's last success from which on it is overdue; before the first, of the expectation.",
		perBackup...)
	descBackupSeen    = rsync("backup_seen", "1 if an expected backup has ever come, 0 if not.", perBackup...)
	descBackupOverdue = rsync("backup_overdue",
		"1 if an expected backup has not come, and its grace is over; 0 if not, or while it is paused.", perBackup...)
	descBackupState = rsync("backup_state", "1 for the state that an expected backup is in, 0 for the others.",
		append(perBackup[:3:3], "state")...)

	descOwnReceived  = own("received_total", "Messages received: discarded, ignored and rsyncd's.", "input")
	descOwnDiscarded = own("discarded_total",
		"Received messages that were thrown away, by reason.", "input", "reason")
	descOwnIgnored     = own("ignored_total", "Received messages of other programs than rsyncd.", "input")
	descOwnLastMessage = own("last_message_timestamp_seconds",
		"When the last message arrived, in seconds of the Unix epoch.", "input")
	descOwnDrops = own("socket_drops_total",
		"Datagrams that the kernel dropped because the receive buffer was full.", "input")
	descOwnBuffer  = own("socket_receive_buffer_bytes", "Receive buffer that the kernel granted.", "input")
	descOwnInPlace = own("socket_in_place",
		"1 if the socket file leads to the exporter, 0 if it is gone or somebody else's: then new senders don't "+
			"reach it.", "input")
	descOwnRebinds = own("socket_rebinds_total",
		"Times that the socket file was made again, as somebody had removed it.", "input")
	descOwnConnections = own("connections", "Open connections.", "input")
	descOwnRefused     = own("refused_connections_total",
		"Connections closed for what their peers are or did, by reason.", "input", "reason")
	descOwnErrors = own("receive_errors_total",
		"Failed receive and accept calls, and breaches of TLS after the handshake.", "input")
	descOwnTLSExpiry = own("tls_certificate_expiry_timestamp_seconds",
		"When what is in force for LISTEN_TLS expires, in seconds of the Unix epoch: certificate, client_ca, "+
			"and the crl's next update.", "file")
	descOwnTLSReload = own("tls_reload_ok",
		"1 if the files of LISTEN_TLS are in force, 0 if they have changed and can't be used.")
	descOwnSessions = own("session_table_size", "Sessions in the table, those lately ended among them.")
	descOwnEvicted  = own("sessions_evicted_total", "Unfinished sessions that made room for newer ones.")
	descOwnOverflow = own("label_overflow_total",
		"Sessions and messages whose label value is counted as _other because a limit (MAX_SERIES) was reached.",
		"label")
	descOwnRetired = own("retired_messages_total",
		"Messages of hosts that had been silent for a day and made room for others (MAX_SERIES): "+
			"rsync_messages_total has them no more.")
	descOwnAddresses = own("host_addresses",
		"Addresses, at most 16, from which messages with this host name came within a day. With more than one, "+
			"sessions of several machines may be mixed up.", "host")
	descOwnStateOK = own("state_ok",
		"1 if the last save to STATE_DIR succeeded, 0 if it failed: then /metrics shows what was saved last.")
	descOwnStateAge = own("state_age_seconds",
		"How old the counters shown are: they are in STATE_DIR before they are shown.")
	descOwnStateStart = own("state_start",
		"1 for what STATE_DIR held when the exporter started: new (nothing), restored, or set_aside (nothing "+
			"that could be trusted, so everything began at 0).", "start")
	descOwnLogWritten = own("session_log_written_total", "Lines written to SESSION_LOG.")
	descOwnLogDropped = own("session_log_dropped_total",
		"Sessions that SESSION_LOG lacks, as too many waited to be written.")
	descOwnLogWaiting = own("session_log_waiting", "Sessions that wait to be written to SESSION_LOG.")
	descOwnLogOK      = own("session_log_ok",
		"1 if SESSION_LOG could be written when last tried, 0 if not, or if sessions wait while STATE_DIR can't be "+
			"saved.")
	descOwnOffset  = own("file_offset_bytes", "Position in the followed file's newest generation.", "file")
	descOwnLag     = own("file_lag_bytes", "Bytes not read yet, over all generations of the followed file.", "file")
	descOwnLagTime = own("file_lag_seconds",
		"How long ago all that was in the followed file, and in its older generations, had been read; 0 if it "+
			"is now.", "file")
	descOwnGenerations = own("file_generations", "Generations of the followed file that are being read.", "file")
	descOwnRotations   = own("file_rotations_total", "Rotations of the followed file.", "file")
	descOwnFileErrors  = own("file_errors_total",
		"Failed reads of the followed file, and failed looks at its path.", "file")
	descOwnFileUp = own("file_up", "1 if the followed file can be read now, 0 if it is missing or can't.", "file")
	descOwnGaps   = own("file_gaps_total",
		"Times that lines of the followed file may have been lost, by reason.", "file", "reason")
	descOwnPatternUp = own("pattern_up",
		"1 if the pattern of FILE matches files and all of them can be followed, 0 if not.", "pattern")
	descOwnPatternErrors = own("pattern_errors_total",
		"Failed looks at what the pattern matches, and failed reads of files that are forgotten.", "pattern")
	descOwnPatternRotations = own("pattern_rotations_total",
		"Rotations of files that the pattern had found and that are forgotten.", "pattern")
	descOwnPatternGaps = own("pattern_gaps_total",
		"Gaps of files that the pattern had found and that are forgotten, by reason.", "pattern", "reason")
)

func rsync(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("rsync_"+name, help, labels, nil)
}

func own(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("rsyncd_exporter_"+name, help, labels, nil)
}

func allDescs() []*prometheus.Desc {
	return []*prometheus.Desc{
		descConnections, descExecutions, descErrors, descSent, descReceived, descExchanged, descListed,
		descSessions, descActive, descOldest, descMaxConnections, descPlacesTaken, descDuration, descRejected,
		descFiles, descFileBytes, descWireBytes,
		descFileErrors, descLists, descStarts, descInfo, descLost, descMessages, descLastSuccess, descLastAttempt,
		descLastDuration, descLastListed, descBackupMaxAge, descBackupSeen, descBackupOverdue, descBackupState,
		descOwnReceived, descOwnDiscarded, descOwnIgnored, descOwnLastMessage,
		descOwnDrops, descOwnBuffer, descOwnInPlace, descOwnRebinds, descOwnConnections, descOwnRefused,
		descOwnErrors, descOwnTLSExpiry, descOwnTLSReload, descOwnSessions, descOwnEvicted, descOwnOverflow,
		descOwnRetired, descOwnAddresses, descOwnStateOK, descOwnStateAge, descOwnStateStart, descOwnLogWritten,
		descOwnLogDropped, descOwnLogWaiting, descOwnLogOK, descOwnOffset,
		descOwnLag, descOwnLagTime, descOwnGenerations, descOwnRotations, descOwnFileErrors, descOwnFileUp,
		descOwnGaps, descOwnPatternUp, descOwnPatternErrors, descOwnPatternRotations, descOwnPatternGaps,
	}
}
