// Package api has what /api/v1 answers: JSON that who, top, the page and other programs read. Bytes
// and seconds are numbers, times are RFC 3339, and what isn't known is absent. Names and paths are
// anybody's text: valid UTF-8 without control characters, and nothing else is sure about them.
package api

import "time"

// Sessions is /api/v1/sessions.
type Sessions struct {
	Sessions []Session      `json:"sessions"` // the longest connected first
	Total    int            `json:"total"`    // of Sessions, also where the answer was told to have fewer
	States   map[string]int `json:"states"`   // of all: connected, running, failing, settling
	Ended    []Ended        `json:"ended"`    // lately, the last one first
}

// A Client is who connected.
type Client struct {
	Name    string `json:"name,omitempty"`    // by the daemon's reverse lookup
	Address string `json:"address,omitempty"` // with ANONYMISE its network
	Group   string `json:"group,omitempty"`   // of CLIENT_GROUPS
	Place   string `json:"place,omitempty"`   // by GEOIP_DB
}

// A Session is one that has not ended.
type Session struct {
	Host      string    `json:"host,omitempty"` // of the syslog header
	PID       int32     `json:"pid"`
	Client    Client    `json:"client"`
	Module    string    `json:"module,omitempty"`
	User      string    `json:"user,omitempty"`
	Direction string    `json:"direction,omitempty"` // send or receive
	State     string    `json:"state"`               // connected, running, failing, settling
	Started   time.Time `json:"started"`
	Age       float64   `json:"age_seconds"`
	Silent    float64   `json:"silent_seconds"` // since its last line
	Files     uint64    `json:"files"`          // at least; transferred and deleted
	FileBytes uint64    `json:"file_bytes"`     // at least: the log has no file before it is through
	Request   string    `json:"request,omitempty"`
	LastPath  string    `json:"last_path,omitempty"`
}

// silentUpload is how long an upload is silent before MayBeOver, in seconds.
const silentUpload = 15 * 60

// MayBeOver reports whether a session is taken for running only since no line says that it has
// ended: see Unsaid.
func (s *Session) MayBeOver() bool {
	return s.Direction == "receive" && s.State == "running" && s.Silent >= silentUpload
}

// Unsaid tells people of sessions that may be over.
const Unsaid = "An upload that has logged nothing for 15 minutes may be over: if its client could not read all of " +
	"its own files, it ends without a word in the log, and is taken for running until SESSION_TTL is over."

// An Ended is a session that has ended, as SESSION_LOG has it.
type Ended struct {
	Time       time.Time         `json:"time"` // when it ended
	Started    time.Time         `json:"started"`
	Amends     bool              `json:"amends,omitempty"` // it corrects an earlier one; its bytes are added
	Host       string            `json:"host,omitempty"`
	PID        int32             `json:"pid"`
	Client     Client            `json:"client"`
	Module     string            `json:"module,omitempty"`
	User       string            `json:"user,omitempty"`
	Direction  string            `json:"direction,omitempty"`
	Outcome    string            `json:"outcome"`
	Reason     string            `json:"reason,omitempty"` // why it was rejected
	ExitCodes  []int             `json:"exit_codes,omitempty"`
	Duration   float64           `json:"duration_seconds"`
	Sent       uint64            `json:"sent_bytes"`
	Received   uint64            `json:"received_bytes"`
	Listed     uint64            `json:"listed_bytes"`
	Files      map[string]uint64 `json:"files,omitempty"`       // by operation: send, recv, del., unknown
	FileErrors map[string]uint64 `json:"file_errors,omitempty"` // by errno, as a decimal number
}

// Modules is /api/v1/modules.
type Modules struct {
	Modules []Module `json:"modules"` // the busiest first
	Total   int      `json:"total"`
}

// A Module is what a host's module has come to since its counters began.
type Module struct {
	Host           string            `json:"host,omitempty"`
	Module         string            `json:"module"`
	Active         int               `json:"active"`                    // sessions that run
	Peak           int               `json:"peak"`                      // most at one time since the start
	PeakAt         *time.Time        `json:"peak_at,omitempty"`         // when that was last
	MaxConnections int               `json:"max_connections,omitempty"` // of RSYNCD_CONF; absent: none, or not known
	PlacesTaken    int               `json:"places_taken,omitempty"`    // of max_connections
	Since          time.Time         `json:"since"`
	Executions     uint64            `json:"executions"`
	Sessions       map[string]uint64 `json:"sessions"` // by outcome
	Rejected       map[string]uint64 `json:"rejected"` // by reason
	Sent           uint64            `json:"sent_bytes"`
	Received       uint64            `json:"received_bytes"`
}

// Clients is /api/v1/clients.
type Clients struct {
	Windows []ClientWindow `json:"windows"` // the last hour, day and month
}

// A ClientWindow is what clients have come to in a span of time. The sums over its parts are the
// whole.
type ClientWindow struct {
	Window   string            `json:"window"` // 1h, 24h, 30d
	Since    time.Time         `json:"since"`  // the window's begin, or the exporter's
	Clients  []ClientVolume    `json:"clients"`
	Rest     ClientRest        `json:"clients_rest"`
	Families map[string]Volume `json:"families"` // ipv4, ipv6, unknown
	Groups   map[string]Volume `json:"groups,omitempty"`
	Places   map[string]Volume `json:"places,omitempty"`
	Total    Volume            `json:"total"`
}

// A Volume is what sessions that have ended came to.
type Volume struct {
	Sessions uint64 `json:"sessions"`
	Sent     uint64 `json:"sent_bytes"`
	Received uint64 `json:"received_bytes"`
}

// A ClientVolume is one of the clients with the most bytes or sessions: an IPv4 address, the /64 of
// an IPv6 address, or a name where no address is known; with ANONYMISE a network.
type ClientVolume struct {
	Client string `json:"client"`
	Name   string `json:"name,omitempty"`
	Group  string `json:"group,omitempty"`
	Place  string `json:"place,omitempty"`
	Volume
	Error *Volume `json:"error,omitempty"` // may have been counted for the rest; absent: nothing
}

// A ClientRest is what all other clients came to.
type ClientRest struct {
	Volume
	AtMost *Volume `json:"at_most,omitempty"` // that one of them can have had
}

// Backups is /api/v1/backups.
type Backups struct {
	Backups []Backup       `json:"backups"` // the worst first
	States  map[string]int `json:"states"`

	// Waiting says what the exporter still does after its start, if anything: what came while it was
	// down may not be known yet.
	Waiting string `json:"waiting,omitempty"`
}

// A Backup is one that is expected, and what came of it.
type Backup struct {
	Name      string     `json:"name"` // as EXPECT has it, or the file's name for it
	Module    string     `json:"module,omitempty"`
	User      string     `json:"user,omitempty"`
	Client    string     `json:"client,omitempty"` // the address, network or name that it is to come from
	Host      string     `json:"host,omitempty"`   // of the syslog header
	Direction string     `json:"direction"`
	State     string     `json:"state"`           // ok, running, late, overdue, failed, never, paused
	Alarm     int        `json:"alarm"`           // 0: nothing to do, 1: something to know, 2: something to act on
	Why       string     `json:"why"`             // a sentence for people
	Since     *time.Time `json:"since,omitempty"` // when the state began

	LastSuccess *time.Time `json:"last_success,omitempty"`
	LastAttempt *time.Time `json:"last_attempt,omitempty"`
	LastOutcome string     `json:"last_outcome,omitempty"`
	Due         *time.Time `json:"due,omitempty"`     // when the next one should have come
	Overdue     *time.Time `json:"overdue,omitempty"` // when it is overdue
	MaxAge      float64    `json:"max_age_seconds,omitempty"`
	Age         *float64   `json:"age_seconds,omitempty"` // of the last success

	Duration float64 `json:"last_duration_seconds,omitempty"` // of the last success, as the next ones are
	Sent     uint64  `json:"last_sent_bytes"`
	Received uint64  `json:"last_received_bytes"`
	Listed   uint64  `json:"last_listed_bytes"`
	Files    uint64  `json:"last_files"`

	UsualListed   uint64  `json:"usual_listed_bytes,omitempty"` // the middle of ten successes, as the next one is
	UsualDuration float64 `json:"usual_duration_seconds,omitempty"`
}

// Errors is /api/v1/errors: what went wrong lately.
type Errors struct {
	Errors []Error `json:"errors"` // the last one first
}

// An Error is something that went wrong in a session.
type Error struct {
	Time      time.Time `json:"time"`
	Host      string    `json:"host,omitempty"`
	PID       int32     `json:"pid"`
	Client    Client    `json:"client"`
	Module    string    `json:"module,omitempty"`
	User      string    `json:"user,omitempty"`
	Direction string    `json:"direction,omitempty"`
	Kind      string    `json:"kind"`             // exit, file, rejected
	Code      *int      `json:"code,omitempty"`   // of exit: rsync's exit code
	Errno     *int      `json:"errno,omitempty"`  // of file
	Reason    string    `json:"reason,omitempty"` // of rejected
	Count     uint64    `json:"count"`            // how many files
	Meaning   string    `json:"meaning"`          // for people
}

// Inputs is /api/v1/inputs.
type Inputs struct {
	Inputs []Input `json:"inputs"`
	Files  []File  `json:"files,omitempty"`
	State  *State  `json:"state,omitempty"` // absent without STATE_DIR
	// absent without SESSION_LOG
	SessionLog *SessionLog `json:"session_log,omitempty"`
	Hour       Hour        `json:"last_hour"`
}

// An Input is one kind of input.
type Input struct {
	Input       string            `json:"input"` // udp, tcp, tls, unixgram, file, stdin
	Received    uint64            `json:"received"`
	Ignored     uint64            `json:"ignored"`
	Discarded   map[string]Advice `json:"discarded"` // by reason; only what has happened
	Drops       *uint64           `json:"drops,omitempty"`
	Buffer      int               `json:"receive_buffer_bytes,omitempty"`
	Connections *int              `json:"connections,omitempty"`
	Refused     map[string]uint64 `json:"refused,omitempty"`
	LastMessage *time.Time        `json:"last_message,omitempty"`
}

// An Advice is how often something happened, and what to do about it.
type Advice struct {
	Count  uint64 `json:"count"`
	Remedy string `json:"remedy,omitempty"`
}

// A File is a followed file.
type File struct {
	Path        string            `json:"path"`
	OK          bool              `json:"ok"`
	Why         string            `json:"why,omitempty"` // it isn't read
	Offset      int64             `json:"offset_bytes"`
	Lag         int64             `json:"lag_bytes"`
	LagSeconds  float64           `json:"lag_seconds"`
	Generations int               `json:"generations"`
	Rotations   uint64            `json:"rotations"`
	Gaps        map[string]uint64 `json:"gaps,omitempty"`
	Errors      uint64            `json:"errors"`
}

// State is how STATE_DIR is.
type State struct {
	OK    bool    `json:"ok"`
	Age   float64 `json:"age_seconds"`
	Start string  `json:"start"` // new, restored, set_aside
}

// SessionLog is how SESSION_LOG is.
type SessionLog struct {
	OK      bool   `json:"ok"` // the last attempt to write succeeded
	Written uint64 `json:"written"`
	Waiting int    `json:"waiting"` // sessions that aren't written yet
	Dropped uint64 `json:"dropped"` // sessions that found no room
}

// An Hour is the last hour, a minute each. The last minute isn't over.
type Hour struct {
	Until       time.Time `json:"until"`
	Connections []uint64  `json:"connections"`
	Rejected    []uint64  `json:"rejected"`
	Failed      []uint64  `json:"failed"` // sessions that ended partial or aborted
	Sessions    []uint64  `json:"sessions"`
	Sent        []uint64  `json:"sent_bytes"`
	Received    []uint64  `json:"received_bytes"`
	Active      []int     `json:"active"` // the most at one time
}
