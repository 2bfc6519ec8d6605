// Package report sums up old logs: a Fold makes a Summary of their lines, Merge adds Summaries up,
// and Text, CSV, HTML and JSON show one.
package report

import "rsyncd_exporter/clients"

// A Summary is what `report --json` prints, and what Merge reads. Bytes and seconds are numbers,
// times RFC 3339, dates 2006-01-02. What isn't known is left out. Lists are sorted, the largest
// first unless said otherwise.
//
// Names (modules, users, clients, paths) are rsynclog.Label's: valid UTF-8 without control
// characters, at most 128 bytes; clients chose some of them.
type Summary struct {
	Version int      `json:"version"`        // of this form: 1
	Files   []Source `json:"sources"`        // what was read, in its order
	From    string   `json:"from,omitempty"` // time of rsyncd's first line in the period
	To      string   `json:"to,omitempty"`   // and of the last
	Zone    string   `json:"zone"`           // of hours, dates and times: a name of the tz database
	Filter  *Filter  `json:"filter,omitempty"`
	// Top is how many entries the top lists have at most: of clients, so many by bytes, and by sessions.
	Top int `json:"top,omitempty"`
	// Merged is how many reports were added up; 0: this is one.
	Merged int `json:"merged,omitempty"`
	// Name is how errors call a report that was read: its file.
	Name string `json:"-"`
	// Interrupted says that not all was read.
	Interrupted bool `json:"interrupted,omitempty"`

	Lines        uint64 `json:"lines"`        // of all programs, those that were thrown away among them
	Unrecognised uint64 `json:"unrecognised"` // of rsyncd, with a text that no rule knows
	Implausible  uint64 `json:"implausible"`  // of rsyncd, by their looks, but a client wrote them
	Ignored      uint64 `json:"ignored"`      // of other programs
	Discarded    uint64 `json:"discarded"`    // without a header that could be read, too long, or not ended

	Totals
	Modules []Module `json:"modules"` // by bytes

	Clients     []Client          `json:"clients"`      // the first ones by bytes, and those by sessions
	ClientsRest Rest              `json:"clients_rest"` // all others, so that sums are the whole
	Families    map[string]Volume `json:"families"`     // ipv4, ipv6, unknown
	// Groups are CLIENT_GROUPS and clients.Other, and Places what GEOIP_DB says, "unknown" and
	// rsynclog.Other. Both are missing without the setting.
	Groups map[string]Volume `json:"groups,omitempty"`
	Places map[string]Volume `json:"places,omitempty"`

	Users []User `json:"users"` // by module and name

	Hours    [24]Hour    `json:"hours"` // of the day, in the report's zone
	Heat     [7][24]Hour `json:"heat"`  // by weekday, Monday first
	Days     []Day       `json:"days"`  // the earliest first; each one between the first and the last
	Quietest *QuietHour  `json:"quietest_hour,omitempty"`

	Paths   []Path `json:"paths"`         // most often transferred
	Deleted []Path `json:"deleted_paths"` // most often deleted
	// How often a path that isn't among these was transferred at most; nil: no more than all that
	// isn't listed.
	PathsAtMost   *uint64 `json:"other_paths_at_most,omitempty"`
	DeletedAtMost *uint64 `json:"other_deleted_paths_at_most,omitempty"`

	Waste      Waste        `json:"waste"`
	Saturation []Saturation `json:"saturation"` // by module
	Expect     []Expected   `json:"suggested_expect,omitempty"`

	Samples []Sample `json:"unrecognised_samples"`
	Compare *Compare `json:"compare,omitempty"`
}

// A Source is a file that was read.
type Source struct {
	Path  string `json:"path"`
	Log   string `json:"log"` // the set of rotated files that it belongs to
	Lines uint64 `json:"lines"`
	Error string `json:"error,omitempty"` // why it wasn't read, or not to its end
}

// A Filter says what a Summary is about. Empty fields let everything pass.
type Filter struct {
	Since     string `json:"since,omitempty"`
	Until     string `json:"until,omitempty"`
	Module    string `json:"module,omitempty"`
	Direction string `json:"direction,omitempty"`
	Client    string `json:"client,omitempty"` // prefix
	User      string `json:"user,omitempty"`
}

// Totals are the sums over everything, each as the counter of the same name.
type Totals struct {
	Connections  uint64            `json:"connections"`
	Executions   uint64            `json:"executions"`
	ModuleLists  uint64            `json:"module_lists"`
	DaemonStarts uint64            `json:"daemon_starts"`
	Lost         uint64            `json:"lost_upstream"` // messages that forwarders say they dropped
	Sent         uint64            `json:"sent_bytes"`
	Received     uint64            `json:"received_bytes"`
	Listed       uint64            `json:"listed_bytes"`
	Running      uint64            `json:"running"`     // sessions that had not ended
	Sessions     map[string]uint64 `json:"sessions"`    // by outcome
	Errors       map[string]uint64 `json:"errors"`      // by exit code
	FileErrors   map[string]uint64 `json:"file_errors"` // by errno; "0" for none
	Rejected     map[string]uint64 `json:"rejected"`    // by reason
	Files        map[string]uint64 `json:"files"`       // by operation: send, recv, del.
	FileBytes    map[string]uint64 `json:"file_bytes"`
	WireBytes    map[string]uint64 `json:"file_transferred_bytes,omitempty"` // where the log format has %b
	Kinds        map[string]uint64 `json:"messages"`                         // lines of rsyncd by kind
}

// A Module is one module and direction.
type Module struct {
	Module     string            `json:"module"`              // empty where it isn't known
	Direction  string            `json:"direction,omitempty"` // send or receive
	Executions uint64            `json:"executions"`
	Sessions   map[string]uint64 `json:"sessions"`
	Sent       uint64            `json:"sent_bytes"`
	Received   uint64            `json:"received_bytes"`
	Listed     uint64            `json:"listed_bytes"`
	Files      uint64            `json:"files"` // transferred, or not known to be deleted
	Deleted    uint64            `json:"deleted"`
	Duration   Duration          `json:"duration_seconds"`
}

// A Duration sums up how long sessions took whose beginning was seen. Percentiles are upper bounds
// of a bucket, at most a quarter too large. Buckets[i] is how many sessions took at most
// DurationBounds()[i] and more than the bound before; the last one has all longer ones.
type Duration struct {
	N       uint64   `json:"n"`
	Sum     float64  `json:"sum"`
	P50     float64  `json:"p50"`
	P90     float64  `json:"p90"`
	Max     float64  `json:"max"`
	Buckets []uint64 `json:"buckets,omitempty"`
}

// A Volume is sessions that ended, and their bytes.
type Volume = clients.Volume

// A Client is one that came.
type Client = clients.Client

// Rest is everything that a top list leaves out.
type Rest = clients.Rest

// A User is who came to a module; the empty user is anybody, where a module asks for no password.
type User struct {
	Module      string            `json:"module"`
	User        string            `json:"user,omitempty"`
	Direction   string            `json:"direction,omitempty"`
	FirstSeen   string            `json:"first_seen,omitempty"` // end of the first session
	FirstOK     string            `json:"first_success,omitempty"`
	LastSuccess string            `json:"last_success,omitempty"` // end of the last session that went well
	LastAttempt string            `json:"last_attempt,omitempty"`
	LongestGap  float64           `json:"longest_gap_seconds,omitempty"` // between two successes
	GapFrom     string            `json:"longest_gap_from,omitempty"`
	Listed      uint64            `json:"last_listed_bytes,omitempty"`
	Sessions    map[string]uint64 `json:"sessions"`
	Volume
}

// An Hour is what ended in an hour, and a Day on a date.
type Hour = Volume

// A Day is one date in the report's zone.
type Day struct {
	Date string `json:"date"`
	Volume
	Failed   uint64 `json:"failed"` // sessions that ended neither ok, listing nor rejected
	Rejected uint64 `json:"rejected"`
	Peak     uint64 `json:"peak_sessions"` // transfers at one time, of all modules of one log
}

// A QuietHour is the hour of the week with the fewest bytes, on average over the days in the log. In
// a log of less than a week it is an hour of the day, and has no weekday.
type QuietHour struct {
	Weekday  string  `json:"weekday,omitempty"` // Monday …
	Hour     int     `json:"hour"`
	Bytes    float64 `json:"bytes"`    // an average one
	Sessions float64 `json:"sessions"` // likewise
}

// A Path is a file's name, of a long one the end. Count may be too small by at most Error, where many
// paths had to share the room: Error is 0 for those whose figures are exact. Bytes are those of the
// transfers in Count.
type Path struct {
	Path   string `json:"path"`
	Module string `json:"module,omitempty"`
	Count  uint64 `json:"count"`
	Bytes  uint64 `json:"bytes"`
	Error  uint64 `json:"error,omitempty"`
}

// Waste is what clients fetched which they had fetched before: the same path with the same length.
type Waste struct {
	// Sampled is 1 if every transfer was looked at, n if one of n files was, chosen by a hash of its
	// name; then figures are estimates.
	Sampled uint64 `json:"sampled"`
	// AtLeast says that the figures are sums over several reports, each with its own n: what was
	// fetched in one and again in another isn't seen.
	AtLeast bool          `json:"at_least,omitempty"`
	Bytes   uint64        `json:"bytes"`
	PerDay  float64       `json:"bytes_a_day,omitempty"` // of a log of a day at least
	Clients []WasteClient `json:"clients"`
}

// A WasteClient is one that fetched the same again.
type WasteClient struct {
	Client  string  `json:"client"`
	Module  string  `json:"module"`
	Files   uint64  `json:"files"` // fetched again
	Bytes   uint64  `json:"bytes"` // of these
	PerDay  float64 `json:"bytes_a_day,omitempty"`
	Example string  `json:"example,omitempty"` // a path, fetched most often of those looked at
	Times   uint64  `json:"times,omitempty"`   // how often
}

// A Saturation says how full a module was. Every log has daemons of its own: their transfers don't
// add up to a peak, but to times and counts. The last of 1,024 levels stands for all higher ones.
type Saturation struct {
	Module  string `json:"module"`
	Refused uint64 `json:"refused"` // at max connections
	Peak    uint64 `json:"peak"`    // most transfers at one time
	PeakAt  string `json:"peak_at,omitempty"`
	// Begun[n] is how many transfers began while n others ran; the last one has all that began
	// beside more. A limit of k would have refused the sum of Begun[k:], and fewer in truth, since
	// who is refused doesn't stay. Unknown: Refused are not among them.
	Begun []uint64 `json:"begun"`
	// SecondsAt[n] is for how long n transfers ran at one time, while the logs went on.
	SecondsAt []float64 `json:"seconds_at"`
}

// Expected is a suggestion for EXPECT, module@user<age, and why.
type Expected struct {
	Entry    string `json:"entry"`
	Evidence string `json:"evidence"`
}

// A Sample is a line that was not understood.
type Sample struct {
	File string `json:"file"`
	Line uint64 `json:"line"`
	Why  string `json:"why"`
	Text string `json:"text"` // its start, valid UTF-8 without control characters
}

// Compare sets a Summary beside that of the period before, of the same length.
type Compare struct {
	From    string   `json:"from"`
	To      string   `json:"to"`
	Began   string   `json:"first_line,omitempty"` // of rsyncd in it; empty: there is none, and no change
	Before  Totals   `json:"before"`
	Changes []Change `json:"changes"` // what changed most, first
}

// A Change is one figure in two periods.
type Change struct {
	What   string  `json:"what"`   // "sent bytes of module data", …
	Before float64 `json:"before"` // of a client that is new in the list: at most
	Now    float64 `json:"now"`
	Unit   string  `json:"unit"` // bytes, sessions, files, seconds, errors or days
}
